//! The lines that are shown: problems first, then certificates with their time line, nodes, events.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::State;
use super::paper::{Ink, Line, Paper};
use crate::observe::overview::{
    Certificate, Counts, Node, Overview, Scale, Served, Tone, Trouble, count, iso, lasting, relative,
};
use crate::observe::page::Query;

/// From so many columns on a certificate is one row of a table; with fewer its parts stand below each other.
const WIDE: usize = 110;
/// The widest that names of certificates get.
const NAME: usize = 34;
/// How wide the state, and an instant, are.
const STATE: usize = 9;
const WHEN: usize = 13;
/// How wide what nodes serve is, beside the time line.
const SERVED: usize = 36;
/// How many names of nodes stand beside each other.
const NAMED: usize = 3;
/// How many events are shown.
const EVENTS: usize = 50;
/// What stands in their place where the daemon does not remember them.
const UNREMEMBERED: &str = "this daemon remembers none: with [observe] and listen = \"127.0.0.1:9464\" in its configuration they are shown here";
/// How many columns a label of the time line needs.
const LABEL: usize = 7;

/// The rows of a terminal of that size.
pub(super) fn screen(state: &mut State, paper: Paper, columns: u16, rows: u16) -> Vec<Line> {
    let rows = usize::from(rows);
    let now = Timestamp::now();
    let all = match (&state.overview, &state.failure) {
        (Some((overview, _)), _) => lines(overview, &state.query, paper, columns, now),
        (None, None) => vec![Line::of(Ink::Soft, "looking")],
        (None, Some(_)) => Vec::new(),
    };
    let room = rows.saturating_sub(1);
    state.scroll = state.scroll.min(all.len().saturating_sub(room));
    let total = all.len();
    let mut shown: Vec<_> = all.into_iter().skip(state.scroll).take(room).collect();
    shown.resize(room, Line::default());
    let foot = match (&state.failure, &state.overview) {
        (Some(failure), _) => Line::of(Ink::Toned(Tone::Broken), paper.tame(failure)),
        _ if state.is_typing => Line::of(Ink::Bold, format!("search: {}_", paper.tame(&state.query.search))),
        (None, overview) => {
            let at = overview.as_ref().map(|(_, at)| at.strftime("%H:%M:%SZ").to_string()).unwrap_or_default();
            let to = (state.scroll + room).min(total);
            let search = match state.query.search.as_str() {
                "" => "/ searches".to_owned(),
                search => format!("/{}", paper.tame(search)),
            };
            let from = (state.scroll + 1).min(total);
            Line::of(Ink::Soft, format!("{at}  {from}-{to} of {total}  {search}  q quits  arrows scroll"))
        }
    };
    if rows > 0 {
        shown.push(foot);
    }
    shown
}

/// Everything, in lines that fit.
pub(super) fn lines(overview: &Overview, query: &Query, paper: Paper, columns: u16, now: Timestamp) -> Vec<Line> {
    let mut lines = Vec::new();
    let columns = usize::from(columns);
    let tone = overview.tone();
    let mark = Line::of(Ink::Toned(tone), format!("{} ", paper.mark(tone)));
    for part in paper.wrap(&overview.headline(), columns.saturating_sub(2)) {
        let begin = if lines.is_empty() { mark.clone() } else { Line::of(Ink::Plain, "  ") };
        lines.push(begin.and(Ink::Bold, part));
    }
    summary(&mut lines, overview, paper, columns, now);
    for trouble in &overview.troubles {
        lines.push(Line::default());
        told(&mut lines, trouble, paper, columns, now);
    }
    certificates(&mut lines, overview, query, paper, columns, now);
    nodes(&mut lines, overview, paper, columns, now);
    events(&mut lines, overview, paper, columns);
    lines
}

fn summary(lines: &mut Vec<Line>, overview: &Overview, paper: Paper, columns: usize, now: Timestamp) {
    let Counts { good, look, broken, reachable } = overview.counts();
    let mut parts = vec![
        format!("{good} good, {look} to look at, {broken} broken"),
        format!("nodes: {reachable} of {} answer", overview.nodes.len()),
    ];
    if let Some((at, name)) = overview.next_renewal() {
        parts.push(format!("next due {}: {name}", relative(at, now)));
    }
    if let Some((at, name)) = overview.next_end() {
        parts.push(format!("first end {}: {name}", relative(at, now)));
    }
    let gap = if paper.unicode { " · " } else { " - " };
    for line in paper.wrap(&parts.join(gap), columns.saturating_sub(2)) {
        lines.push(Line::of(Ink::Soft, format!("  {line}")));
    }
}

fn told(lines: &mut Vec<Line>, trouble: &Trouble, paper: Paper, columns: usize, now: Timestamp) {
    let room = columns.saturating_sub(2);
    let word = match trouble.tone {
        Tone::Broken => "broken",
        _ => "look",
    };
    let subject = match (trouble.concerned, trouble.files.is_empty()) {
        (0, true) => trouble.nodes.join(", "),
        (0, false) => trouble.files.join(", "),
        (1, _) => trouble.certificates.join(", "),
        _ => String::new(),
    };
    let is_told = subject.is_empty() || trouble.message.contains(&subject);
    let subject = if is_told { String::new() } else { format!("{subject}: ") };
    let ink = Ink::Toned(trouble.tone);
    for (number, part) in paper.wrap(&format!("{word}: {subject}{}", trouble.message), room).into_iter().enumerate() {
        let begin = if number == 0 { format!("{} ", paper.mark(trouble.tone)) } else { "  ".to_owned() };
        lines.push(Line::of(ink, begin).and(ink, part));
    }
    let mut besides = |label: &str, text: &str| {
        for part in paper.wrap(&format!("{label}{text}"), room) {
            lines.push(Line::of(Ink::Plain, format!("  {part}")));
        }
    };
    if let Some(hint) = &trouble.hint {
        besides("hint: ", hint);
    }
    if trouble.concerned > 1 {
        let more = trouble.concerned - trouble.certificates.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        besides("", &format!("{} certificates: {}{more}", trouble.concerned, trouble.certificates.join(", ")));
    }
    if let Some(at) = trouble.next_try {
        besides("", &format!("tried again {} ({})", relative(at, now), iso(at)));
    }
}

fn certificates(
    lines: &mut Vec<Line>,
    overview: &Overview,
    query: &Query,
    paper: Paper,
    columns: usize,
    now: Timestamp,
) {
    let wanted: Vec<_> = overview.certificates.iter().filter(|certificate| query.wants(certificate)).collect();
    let scale = Scale::of(wanted.iter().copied(), query.span, now);
    lines.push(Line::default());
    if wanted.is_empty() {
        let text = if overview.certificates.is_empty() { "no certificate yet" } else { "no certificate matches" };
        lines.push(Line::of(Ink::Soft, text));
        return;
    }
    let longest = wanted.iter().map(|certificate| certificate.name.len()).max().unwrap_or(0);
    let longest = longest.clamp(11, NAME.min(columns / 4).max(11));
    if columns < WIDE {
        let width = columns.saturating_sub(2);
        lines.push(Line::of(Ink::Soft, "CERTIFICATES"));
        lines.push(Line::of(Ink::Soft, format!("  {}", axis(&scale, width, now))));
        for certificate in wanted {
            stacked(lines, certificate, &scale, paper, columns, now);
        }
        return;
    }
    let places = Places { name: longest, line: columns - (2 + longest + 1 + STATE + 2 * WHEN + SERVED + 1) };
    let head = Line::of(Ink::Soft, "  CERTIFICATE").to(places.state());
    let head = head.and(Ink::Soft, "STATE").to(places.due()).and(Ink::Soft, "DUE").to(places.due() + WHEN);
    let head = head.and(Ink::Soft, "ENDS").to(places.line_at());
    lines.push(head.and(Ink::Soft, axis(&scale, places.line, now)).to(places.served()).and(Ink::Soft, "SERVED BY"));
    for certificate in wanted {
        row(lines, certificate, &scale, paper, &places, now);
    }
}

/// Where the columns of the wide table begin.
struct Places {
    name: usize,
    line: usize,
}

impl Places {
    fn state(&self) -> usize {
        2 + self.name + 1
    }

    fn due(&self) -> usize {
        self.state() + STATE
    }

    fn line_at(&self) -> usize {
        self.due() + 2 * WHEN
    }

    fn served(&self) -> usize {
        self.line_at() + self.line + 1
    }
}

fn row(lines: &mut Vec<Line>, certificate: &Certificate, scale: &Scale, paper: Paper, places: &Places, now: Timestamp) {
    let ink = Ink::Toned(certificate.tone);
    let mut served = groups(certificate, paper).into_iter();
    let when = |at: Option<Timestamp>| at.map_or_else(|| "-".to_owned(), |at| relative(at, now));
    let mut line = Line::of(ink, format!("{} ", paper.mark(certificate.tone)))
        .and(Ink::Bold, paper.fit(&certificate.name, places.name))
        .to(places.state())
        .and(ink, paper.fit(&certificate.state, STATE - 1))
        .to(places.due())
        .and(Ink::Plain, when(certificate.renew_at))
        .to(places.due() + WHEN)
        .and(Ink::Plain, when(certificate.life.map(|life| life.1)))
        .to(places.line_at());
    line.0.extend(bar(certificate, scale, paper, places.line, now).0);
    let mut line = line.to(places.served());
    if let Some((tone, text)) = served.next() {
        line = line.and(Ink::Toned(tone), paper.fit(&text, SERVED));
    }
    lines.push(line);
    for (tone, text) in served {
        lines.push(Line::default().to(places.served()).and(Ink::Toned(tone), paper.fit(&text, SERVED)));
    }
}

/// One below the other, for a narrow terminal.
fn stacked(
    lines: &mut Vec<Line>,
    certificate: &Certificate,
    scale: &Scale,
    paper: Paper,
    columns: usize,
    now: Timestamp,
) {
    let ink = Ink::Toned(certificate.tone);
    let room = columns.saturating_sub(2);
    let name = room.saturating_sub(STATE + 1);
    let line = Line::of(ink, format!("{} ", paper.mark(certificate.tone)))
        .and(Ink::Bold, paper.fit(&certificate.name, name))
        .to(2 + name + 1)
        .and(ink, paper.fit(&certificate.state, STATE));
    lines.push(line);
    if let Some((_, end)) = certificate.life {
        let due = certificate.renew_at.map(|at| format!("due {}, ", relative(at, now))).unwrap_or_default();
        for part in paper.wrap(&format!("{due}ends {}", relative(end, now)), room) {
            lines.push(Line::of(Ink::Plain, format!("  {part}")));
        }
        let mut line = Line::of(Ink::Plain, "  ");
        line.0.extend(bar(certificate, scale, paper, room, now).0);
        lines.push(line);
    }
    for (tone, text) in groups(certificate, paper) {
        lines.push(Line::of(Ink::Toned(tone), format!("  {}", paper.fit(&text, room))));
    }
}

/// What nodes serve, those together that serve the same.
fn groups(certificate: &Certificate, paper: Paper) -> Vec<(Tone, String)> {
    let mut groups: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for Served { node, state, verified, tone, .. } in &certificate.served {
        groups.entry((std::cmp::Reverse(*tone), state, verified)).or_default().push(node);
    }
    let groups = groups.into_iter().map(|((tone, state, verified), names)| {
        let proof = if verified == "none" { String::new() } else { format!(" ({verified})") };
        let named = if names.len() > NAMED { count(names.len(), "node") } else { names.join(",") };
        (tone.0, format!("{} {named} {state}{proof}", paper.mark(tone.0)))
    });
    groups.collect()
}

/// The labels of the scale, and where now is.
fn axis(scale: &Scale, width: usize, now: Timestamp) -> String {
    let mut axis = vec![' '; width];
    let mut put = |at: f64, text: &str| {
        let begin = column(at, width).saturating_sub(text.len() / 2);
        let is_free = axis.get(begin.saturating_sub(1)..begin + text.len() + 1);
        if is_free.is_some_and(|place| place.iter().all(|letter| *letter == ' ')) {
            axis.splice(begin..begin + text.len(), text.chars());
        }
    };
    put(scale.place(now), "now");
    let most = i64::try_from(width / LABEL).unwrap_or(i64::MAX).max(1);
    for tick in scale.ticks(most) {
        put(tick.at, &tick.label);
    }
    axis.into_iter().collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "of a terminal"
)]
fn column(at: f64, width: usize) -> usize {
    ((at * width as f64) as usize).min(width.saturating_sub(1))
}

/// A lifetime in letters: what is over, what is to come, when it is due, and its last part.
fn bar(certificate: &Certificate, scale: &Scale, paper: Paper, width: usize, now: Timestamp) -> Line {
    let [past, life, window, emergency, due, present] =
        if paper.unicode { ['━', '─', '╌', '┄', '◆', '│'] } else { ['=', '-', '~', '.', 'o', '|'] };
    let mut letters = vec![' '; width];
    let place = |at| column(scale.place(at), width);
    if let (Some((begin, end)), true) = (certificate.life, width > 0) {
        let mut fill = |from: Timestamp, to: Timestamp, letter: char| {
            if from < to && to > scale.from && from < scale.to {
                letters[place(from)..=place(to)].fill(letter);
            }
        };
        fill(begin, end, life);
        if let (Some(renew_at), Some(last)) = (certificate.renew_at, certificate.emergency_at) {
            fill(renew_at, end, window);
            fill(last.max(renew_at), end, emergency);
        }
        fill(begin, end.min(now), past);
        letters[place(now)] = present;
        if let Some(at) = certificate.renew_at.filter(|at| (scale.from..=scale.to).contains(at)) {
            letters[place(at)] = due;
        }
    }
    let ink = if certificate.tone == Tone::Good { Ink::Plain } else { Ink::Toned(certificate.tone) };
    Line::of(ink, letters.into_iter().collect::<String>())
}

fn nodes(lines: &mut Vec<Line>, overview: &Overview, paper: Paper, columns: usize, now: Timestamp) {
    lines.push(Line::default());
    lines.push(Line::of(Ink::Soft, if overview.nodes.is_empty() { "no HAProxy is configured" } else { "NODES" }));
    for node in &overview.nodes {
        for (number, part) in paper.wrap(&node_in_words(node, now), columns.saturating_sub(2)).into_iter().enumerate() {
            let mark = if number == 0 { paper.mark(node.tone) } else { " " };
            lines.push(Line::of(Ink::Toned(node.tone), format!("{mark} ")).and(Ink::Plain, part));
        }
        for worker in &node.old_workers {
            let age = lasting(now.as_second() - worker.started_at.as_second());
            let held = match worker.outdated.len() {
                0 => String::new(),
                number => format!(", still serves an older version of {}", count(number, "certificate")),
            };
            let connections = count(worker.connections as usize, "connection");
            let text = format!("old worker {}: {age} old, {connections}{held}", worker.pid);
            for part in paper.wrap(&text, columns.saturating_sub(4)) {
                lines.push(Line::of(Ink::Plain, format!("    {part}")));
            }
        }
    }
}

fn node_in_words(node: &Node, now: Timestamp) -> String {
    let state = match (&node.version, node.pid) {
        (Some(version), Some(pid)) => {
            let age = node.started_at.map(|at| format!(", {} old", lasting(now.as_second() - at.as_second())));
            format!("HAProxy {version}, process {pid}{}", age.unwrap_or_default())
        }
        _ => "cannot be reached".to_owned(),
    };
    let foreign = match node.foreign {
        0 => String::new(),
        number => format!(", {} that hotcert does not manage", count(number, "certificate")),
    };
    format!("{} at {}: {state}{foreign}", node.name, node.address)
}

fn events(lines: &mut Vec<Line>, overview: &Overview, paper: Paper, columns: usize) {
    let events = overview.events.as_deref().unwrap_or_default();
    if overview.events.is_some() && events.is_empty() {
        return;
    }
    lines.push(Line::default());
    lines.push(Line::of(Ink::Soft, "EVENTS"));
    if overview.events.is_none() {
        for part in paper.wrap(UNREMEMBERED, columns.saturating_sub(2)) {
            lines.push(Line::of(Ink::Soft, format!("  {part}")));
        }
    }
    for event in events.iter().take(EVENTS) {
        let text = format!("{} {} {}", event.at.strftime("%m-%d %H:%M:%SZ"), event.kind, event.text);
        for (number, part) in paper.wrap(&text, columns.saturating_sub(2)).into_iter().enumerate() {
            let mark = if number == 0 { paper.mark(event.tone) } else { " " };
            lines.push(Line::of(Ink::Toned(event.tone), format!("{mark} ")).and(Ink::Plain, part));
        }
    }
}
