//! The terminal, which gets back what was on it before, however this ends.

use std::io::{self, Write};
use std::panic;
use std::sync::Once;
use std::thread;

use crossterm::cursor::{Hide, MoveTo, Show};
use crossterm::event::{self, Event};
use crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode, size,
};
use crossterm::{execute, queue};
use rustix::process::{Signal, getpid, kill_process};
use tokio::sync::mpsc;

use super::paper::Paper;
use super::{FEWEST, State, view};

/// How many keys wait to be dealt with.
const KEYS: usize = 64;

/// The terminal while it is ours.
pub(super) struct Screen {
    /// What stands in each row.
    shown: Vec<String>,
    size: (u16, u16),
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                give_back();
                before(info);
            }));
        });
        let screen = Self { shown: Vec::new(), size: size()? };
        take()?;
        Ok(screen)
    }

    /// What is typed, and changes of size. The thread that listens ends with the program.
    pub(super) fn keys() -> mpsc::Receiver<Event> {
        let (sender, receiver) = mpsc::channel(KEYS);
        thread::spawn(move || {
            while let Ok(event) = event::read() {
                if sender.blocking_send(event).is_err() {
                    break;
                }
            }
        });
        receiver
    }

    pub(super) fn rows(&self) -> u16 {
        self.size.1
    }

    /// Draws everything anew next time.
    pub(super) fn forget(&mut self) {
        self.shown.clear();
    }

    /// Lets the shell go on until it brings us back.
    pub(super) fn suspend(&mut self) {
        give_back();
        let _ = kill_process(getpid(), Signal::TSTP);
        // When it fails, writing fails next, and that is the end.
        let _ = take();
        self.forget();
    }

    /// Writes the rows that differ.
    pub(super) fn draw(&mut self, state: &mut State, paper: Paper) -> io::Result<()> {
        self.size = size()?;
        let (columns, rows) = self.size;
        let lines = view::screen(state, paper, columns.max(FEWEST), rows);
        let rows: Vec<_> = lines.iter().map(|line| paper.print(line, usize::from(columns))).collect();
        let mut out = io::stdout().lock();
        if self.shown.is_empty() {
            queue!(out, Clear(ClearType::All))?;
        }
        for (number, row) in (0..).zip(&rows) {
            if self.shown.get(usize::from(number)) != Some(row) {
                // Cleared first: after a full row some terminals would clear its last letter.
                queue!(out, MoveTo(0, number), Clear(ClearType::UntilNewLine))?;
                out.write_all(row.as_bytes())?;
            }
        }
        self.shown = rows;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn take() -> io::Result<()> {
    enable_raw_mode()?;
    execute!(io::stdout(), EnterAlternateScreen, Hide)
}

/// A terminal that has gone needs nothing back.
fn give_back() {
    let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
    let _ = disable_raw_mode();
}
