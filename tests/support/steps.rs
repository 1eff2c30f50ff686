//! hotcert, run inside the test's own program, so that it can be killed exactly after one of its steps.
//!
//! A step is a durable write or a changing request; hotcert reports each by a trace event of the target `hotcert::step`. A test
//! program that wants them has a test `as_hotcert`, which calls [`play`], and starts itself again by [`Steps::run`] or
//! [`Stepping::start`].

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt as log};

use super::process::signal_process;
use super::{Scratch, poll};

/// How long one command may take.
const DEADLINE: Duration = Duration::from_mins(1);
/// The arguments, separated by a character that no path has.
const ARGUMENTS: &str = "TEST_HOTCERT_ARGUMENTS";
const SEPARATOR: &str = "\u{1f}";
/// The file to which each step is appended.
const TRACE: &str = "TEST_HOTCERT_TRACE";
/// After which step to be sent a signal, and which.
const STRUCK_AFTER: &str = "TEST_HOTCERT_STRUCK_AFTER";
const SIGNAL: &str = "TEST_HOTCERT_SIGNAL";
/// What is added to the trace's name, for the file that says that the signal was sent; whoever was stopped goes on without it.
const STRUCK: &str = ".struck";

/// A point at which a run can be killed: after the so-many-th occurrence of a step, or before the first one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Point {
    pub step: String,
    pub occurrence: usize,
}

impl Point {
    const START: &str = "the start";

    fn start() -> Self {
        Self { step: Self::START.to_owned(), occurrence: 1 }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} #{}", self.step, self.occurrence)
    }
}

/// What a run did.
#[derive(Clone)]
pub struct Steps {
    /// Its steps, in order.
    pub taken: Vec<String>,
    /// Whether it was killed at its point.
    pub killed: bool,
    /// Whether it came to its end, and succeeded.
    pub succeeded: bool,
    pub stderr: String,
}

/// A run that goes on; killed on drop.
#[derive(Debug)]
pub struct Stepping {
    scratch: Scratch,
    child: Child,
}

impl Steps {
    /// Runs a command, and kills it at a point.
    pub fn run(arguments: &[OsString], die_after: Option<&Point>) -> Self {
        let mut stepping = Stepping::start(arguments, die_after.map(|point| (point, Signal::KILL)));
        if poll(DEADLINE, || stepping.has_ended().then_some(())).is_none() {
            let _ = stepping.child.kill();
        }
        stepping.wait()
    }

    /// Every point of this run, the start first.
    pub fn points(&self) -> Vec<Point> {
        let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
        let points = self.taken.iter().map(|step| {
            let count = seen.entry(step).or_default();
            *count += 1;
            Point { step: step.clone(), occurrence: *count }
        });
        std::iter::once(Point::start()).chain(points).collect()
    }

    /// Whether a step was taken.
    pub fn took(&self, step: &str) -> bool {
        self.taken.iter().any(|taken| taken == step)
    }
}

impl Stepping {
    /// Starts a command, which is sent a signal at a point.
    pub fn start(arguments: &[OsString], struck: Option<(&Point, Signal)>) -> Self {
        let scratch = Scratch::new();
        let trace = scratch.write("trace", "");
        let output = |name| File::create_new(scratch.join(name)).expect("the output can be made");
        let mut command = Command::new(std::env::current_exe().expect("the test's program has a path"));
        command
            .args(["as_hotcert", "--exact", "--nocapture"])
            .env(ARGUMENTS, arguments.join(SEPARATOR.as_ref()))
            .env(TRACE, &trace)
            .stdin(Stdio::null())
            .stdout(output("stdout"))
            .stderr(output("stderr"));
        if let Some((point, signal)) = struck {
            command.env(STRUCK_AFTER, point.to_string()).env(SIGNAL, signal.as_raw().to_string());
        }
        let child = command.spawn().expect("the test's program can be started");
        Self { scratch, child }
    }

    /// Whether it has come to its end.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child can be waited for").is_some()
    }

    /// Whether it was sent its signal, and not told to go on since.
    pub fn was_struck(&self) -> bool {
        self.scratch.join(format!("trace{STRUCK}")).exists()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if signal == Signal::CONT {
            let _ = fs::remove_file(self.scratch.join(format!("trace{STRUCK}")));
        }
        signal_process(self.child.id(), signal);
    }

    /// Waits for its end.
    pub fn wait(mut self) -> Steps {
        let status = self.child.wait().expect("a child can be waited for");
        Steps {
            taken: self.scratch.read("trace").lines().map(str::to_owned).collect(),
            killed: status.code().is_none(),
            succeeded: status.success(),
            stderr: fs::read_to_string(self.scratch.join("stderr")).unwrap_or_default(),
        }
    }
}

impl Drop for Stepping {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Debug for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { taken, killed, succeeded, stderr } = self;
        write!(f, "killed: {killed}, succeeded: {succeeded}, steps:\n  {}\n--- stderr\n{stderr}", taken.join("\n  "))
    }
}

/// What the test `as_hotcert` does: nothing, unless [`Steps::run`] started it.
pub fn play() -> ExitCode {
    let Some(arguments) = std::env::var_os(ARGUMENTS) else { return ExitCode::SUCCESS };
    let arguments = arguments.into_string().expect("the arguments are text");
    let arguments = std::iter::once("hotcert").chain(arguments.split(SEPARATOR)).map(OsString::from);
    let path = std::env::var_os(TRACE).expect("the trace is named");
    let file = File::options().append(true).open(&path).expect("the trace can be written");
    let struck = std::env::var(STRUCK_AFTER).ok().map(|point| {
        let signal = std::env::var(SIGNAL).ok().and_then(|signal| Signal::from_named_raw(signal.parse().ok()?));
        (point, signal.expect("a signal is given with its point"))
    });
    let mark = path.into_string().expect("the trace's name is text") + STRUCK;
    let recorder = Recorder { state: Mutex::new((file, BTreeMap::new())), struck, mark };
    hotcert::cli::run(arguments, |_| {
        recorder.record(Point::START);
        let ours = Targets::new().with_target("hotcert", tracing::Level::DEBUG);
        let shown = log::layer().with_writer(std::io::stderr).with_ansi(false).with_filter(ours);
        tracing_subscriber::registry().with(recorder).with(shown).init();
    })
}

/// Writes down each step, and is struck at the right one.
struct Recorder {
    state: Mutex<(File, BTreeMap<String, usize>)>,
    struck: Option<(String, Signal)>,
    /// The file that says so.
    mark: String,
}

impl Recorder {
    fn record(&self, step: &str) {
        let mut state = self.state.lock().expect("no step panics");
        let (file, seen) = &mut *state;
        if step != Point::START {
            writeln!(file, "{step}").expect("the trace can be written");
        }
        let occurrence = seen.entry(step.to_owned()).or_default();
        *occurrence += 1;
        let point = Point { step: step.to_owned(), occurrence: *occurrence };
        if let Some((last, signal)) = &self.struck
            && *last == point.to_string()
        {
            File::create(&self.mark).expect("the mark can be made");
            kill_process(getpid(), *signal).expect("a process may strike itself");
            if *signal == Signal::STOP {
                // Another thread may be the first to stop; this one gets no further until it is told to go on.
                let _ = poll(DEADLINE, || (!Path::new(&self.mark).exists()).then_some(()));
            }
        }
    }
}

impl<S: tracing::Subscriber> Layer<S> for Recorder {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() == "hotcert::step" {
            let mut message = Message::default();
            event.record(&mut message);
            self.record(&message.0);
        }
    }
}

/// The text of an event.
#[derive(Default)]
struct Message(String);

impl tracing::field::Visit for Message {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}
