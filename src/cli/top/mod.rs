//! `hotcert top`: how everything stands, in a terminal, as it goes.
//!
//! A daemon is asked for what it knows; where none runs, this looks by itself. What is looked at is never changed. Without a
//! terminal the same is printed once.

mod paper;
mod screen;
mod view;

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::Duration;

use crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep_until};

use super::app::{App, Stop};
use super::args::{Nodes, Status};
use super::failure::{Exit, Failure};
use super::outcome::Outcome;
use super::request::Request;
use super::{Color, Global, daemon, status};
use crate::config::Config;
use crate::observe::Snapshot;
use crate::observe::overview::{Overview, Tone};
use crate::observe::page::Query;
use crate::store::Store;
use paper::Paper;
use screen::Screen;

/// How often everything is looked at.
const INTERVAL: Duration = Duration::from_secs(2);
/// The share of the time that looking may take, as its inverse: thousands of certificates take a while, and other work goes first.
const SHARE: u32 = 10;
/// Columns where nobody says how many there are.
const COLUMNS: u16 = 100;
/// The fewest that text is fitted to; of a narrower terminal the right end is cut off.
const FEWEST: u16 = 20;

/// What looks, again and again.
struct Looker {
    config: Config,
    /// What was seen before, for what has happened since; only where no daemon remembers it.
    seen: Arc<Snapshot>,
}

/// What is on the screen.
#[derive(Default)]
struct State {
    overview: Option<(Overview, Timestamp)>,
    failure: Option<String>,
    scroll: usize,
    query: Query,
    /// Whether the search is being typed.
    is_typing: bool,
}

/// Answers a program that watches, where a daemon has not looked yet.
pub(super) async fn answer(app: &App) -> Result<Outcome, Failure> {
    let report = status::look(app, None, None).await?;
    outcome(&Overview::of(&report, app.config.observe.map(|_| Vec::new())))
}

/// What a program that watches is told.
pub(super) fn outcome(overview: &Overview) -> Result<Outcome, Failure> {
    let document = serde_json::to_string(overview).map_err(anyhow::Error::new)?;
    Ok(Outcome { text: String::new(), ..Outcome::script(document) })
}

/// Whether what is on the screen is changed by the program as it goes.
pub(super) fn is_live(global: &Global) -> bool {
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term.is_empty() || term == "dumb");
    !global.json && !is_dumb && std::io::stdout().is_terminal()
}

pub(super) async fn run(global: &Global, nodes: Nodes) -> Result<Outcome, Failure> {
    let config = Config::load(global.config.as_deref(), &nodes.flags(global))?;
    if global.json {
        let request = Request::Status(Status { certificate: None, nodes });
        return match daemon::ask(&config, &request).await? {
            Some(outcome) => Ok(outcome),
            None => request.run(app(&config)?, None).await,
        };
    }
    let mut looker = Looker { config, seen: Arc::new(Snapshot::empty(Timestamp::now())) };
    let is_live = is_live(global);
    let paper = paper(global, is_live);
    if is_live {
        watch(&mut looker, paper).await?;
        return Ok(Outcome::script(""));
    }
    let overview = looker.look().await?;
    let columns = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(COLUMNS);
    let lines = view::lines(&overview, &Query::default(), paper, columns.max(FEWEST), Timestamp::now());
    let text: String = lines.iter().map(|line| paper.print(line, usize::from(u16::MAX)) + "\n").collect();
    let exit = if overview.tone() == Tone::Good { Exit::Done } else { Exit::Found };
    Ok(Outcome { text, ..Outcome::script("") }.exit(exit))
}

fn app(config: &Config) -> Result<App, Failure> {
    App::new(config.clone(), Store::open(&config.state_dir)?, Stop::Signals)
}

fn paper(global: &Global, is_live: bool) -> Paper {
    let color = match global.color {
        Color::Always => true,
        Color::Never => false,
        // https://no-color.org
        Color::Auto => is_live && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    Paper { color, unicode: speaks_unicode(|name| std::env::var(name).ok()) }
}

/// Whether the locale can show more than ASCII: the first of these that is set counts (POSIX, section 8.2).
fn speaks_unicode(variable: impl Fn(&str) -> Option<String>) -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(|name| variable(name).filter(|it| !it.is_empty()));
    let locale = locale.unwrap_or_default().to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

impl Looker {
    async fn look(&mut self) -> Result<Overview, Failure> {
        if let Some(outcome) = daemon::ask(&self.config, &Request::Top).await? {
            if let Some(failure) = outcome.failures.into_iter().next_back() {
                return Err(failure);
            }
            return Ok(serde_json::from_str(&outcome.document).map_err(anyhow::Error::new)?);
        }
        let report = status::look(&app(&self.config)?, None, None).await?;
        let now = Snapshot { report: Some(Arc::new(report)), ..Snapshot::empty(Timestamp::now()) };
        self.seen = Arc::new(now.after(&self.seen));
        Ok(self.seen.overview().expect("a report was just put in"))
    }
}

/// Shows it until somebody has seen enough.
async fn watch(looker: &mut Looker, paper: Paper) -> Result<(), Failure> {
    let listen = |kind| signal(kind).map_err(|error| anyhow::Error::new(error).context("signals cannot be received"));
    let (mut terminate, mut hangup) = (listen(SignalKind::terminate())?, listen(SignalKind::hangup())?);
    let mut interrupt = listen(SignalKind::interrupt())?;
    let mut screen =
        Screen::open().map_err(|error| anyhow::Error::new(error).context("the terminal cannot be used"))?;
    let mut keys = Screen::keys();
    let mut state = State::default();
    let mut next = Instant::now();
    loop {
        let began = Instant::now();
        let (at, looker) = (next, &mut *looker);
        let found = async move {
            sleep_until(at).await;
            looker.look().await
        };
        tokio::pin!(found);
        let found = loop {
            if screen.draw(&mut state, paper).is_err() {
                return Ok(());
            }
            tokio::select! {
                found = &mut found => break found,
                event = keys.recv() => match event {
                    Some(event) => {
                        if !state.take(&event, &mut screen) {
                            return Ok(());
                        }
                    }
                    // Nobody can type any more, as when the terminal has gone.
                    None => return Ok(()),
                },
                _ = terminate.recv() => return Ok(()),
                _ = interrupt.recv() => return Ok(()),
                _ = hangup.recv() => return Ok(()),
            }
        };
        match found {
            Ok(overview) => (state.overview, state.failure) = (Some((overview, Timestamp::now())), None),
            Err(failure) => state.failure = Some(failure.message),
        }
        let took = began.max(next).elapsed();
        next = Instant::now() + INTERVAL.max(took * SHARE);
    }
}

impl State {
    /// Does what a key says; `false` when it says to stop.
    fn take(&mut self, event: &Event, screen: &mut Screen) -> bool {
        let key = match event {
            Event::Key(KeyEvent { kind: KeyEventKind::Press | KeyEventKind::Repeat, code, modifiers, .. }) => {
                (*code, *modifiers)
            }
            Event::Resize(..) => {
                screen.forget();
                return true;
            }
            _ => return true,
        };
        let page = usize::from(screen.rows()).saturating_sub(2).max(1);
        match key {
            (KeyCode::Char('c'), KeyModifiers::CONTROL) => return false,
            (KeyCode::Char('z'), KeyModifiers::CONTROL) => screen.suspend(),
            (KeyCode::Char('l'), KeyModifiers::CONTROL) => screen.forget(),
            (KeyCode::Enter | KeyCode::Esc, _) if self.is_typing => {
                self.is_typing = false;
                if key.0 == KeyCode::Esc {
                    self.query.search.clear();
                }
            }
            (KeyCode::Backspace, _) if self.is_typing => _ = self.query.search.pop(),
            (KeyCode::Char(letter), _) if self.is_typing => self.query.search.extend(letter.to_lowercase()),
            (KeyCode::Char('q') | KeyCode::Esc, _) => return false,
            (KeyCode::Char('/'), _) => self.is_typing = true,
            (KeyCode::Up | KeyCode::Char('k'), _) => self.scroll = self.scroll.saturating_sub(1),
            (KeyCode::Down | KeyCode::Char('j'), _) => self.scroll += 1,
            (KeyCode::PageUp, _) => self.scroll = self.scroll.saturating_sub(page),
            (KeyCode::PageDown | KeyCode::Char(' '), _) => self.scroll += page,
            (KeyCode::Home | KeyCode::Char('g'), _) => self.scroll = 0,
            (KeyCode::End | KeyCode::Char('G'), _) => self.scroll = usize::MAX / 2,
            _ => {}
        }
        true
    }
}

#[cfg(test)]
mod tests;
