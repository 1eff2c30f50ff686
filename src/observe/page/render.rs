//! The document: problems first, then certificates, nodes and events.

use jiff::Timestamp;

use super::certificates::{self, when};
use super::html::Esc;
use super::mark;
use super::query::Query;
use crate::observe::overview::{Counts, Node, Overview, Tone, Trouble, count, iso, lasting, relative};

/// How many troubles are shown; who has more looks at the worst first.
const TROUBLES: usize = 30;
/// How many nodes are shown.
const NODES: usize = 200;
/// How many events are shown.
const EVENTS: usize = 50;
/// How many old workers of a node are shown.
const WORKERS: usize = 10;

/// The page as one HTML document. `looked_at` is when the nodes were last looked at, `now` what time it is; `overview` is `None` until
/// every node was tried.
#[must_use]
pub fn document(overview: Option<&Overview>, query: &Query, looked_at: Timestamp, now: Timestamp) -> String {
    let mut out = String::with_capacity(128 * 1024);
    let (tone, headline) = overview.map_or_else(
        || (Tone::Look, "Starting: not every node was looked at yet".to_owned()),
        |overview| (overview.tone(), overview.headline()),
    );
    out.push_str(&format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{}{} · hotcert</title>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"icon.svg\" type=\"image/svg+xml\">\
         <link rel=\"stylesheet\" href=\"page.css\"><script src=\"page.js\" defer></script></head><body>\
         <a class=\"skip\" href=\"#main\">Skip to the content</a>\
         <header><span class=\"brand\">hotcert</span><nav aria-label=\"Sections\"><a href=\"#problems\">Problems</a>\
         <a href=\"#certificates\">Certificates</a><a href=\"#nodes\">Nodes</a><a href=\"#events\">Events</a></nav>\
         <p id=\"live\" role=\"status\"><noscript>reload for news</noscript></p></header>\
         <p id=\"news\" class=\"sr\" role=\"status\" aria-live=\"polite\"></p><main id=\"main\" tabindex=\"-1\">",
        match tone {
            Tone::Good => "",
            Tone::Look => "▲ ",
            Tone::Broken => "✖ ",
        },
        Esc(&headline),
    ));
    out.push_str(&format!("<h1 class=\"{}\">{}<span>{}</span></h1>", tone.word(), mark(tone), Esc(&headline)));
    if let Some(overview) = overview {
        summary(&mut out, overview, looked_at, now);
        troubles(&mut out, overview, now);
        certificates::section(&mut out, overview, query, now);
        nodes(&mut out, overview, now);
        events(&mut out, overview, now);
    }
    out.push_str(&format!(
        "</main><footer>hotcert {} · <a href=\"status.json\">status as JSON</a> · all times are UTC</footer></body></html>\n",
        env!("CARGO_PKG_VERSION")
    ));
    out
}

/// What one wants to know when nothing is wrong, too.
fn summary(out: &mut String, overview: &Overview, looked_at: Timestamp, now: Timestamp) {
    let Counts { good, look, broken, reachable } = overview.counts();
    out.push_str("<dl class=\"summary\">");
    let mut fact = |name: &str, value: String| out.push_str(&format!("<div><dt>{name}</dt><dd>{value}</dd></div>"));
    let mut parts = vec![format!("{}<b>{good}</b> good", mark(Tone::Good))];
    for (tone, number) in [(Tone::Look, look), (Tone::Broken, broken)] {
        if number > 0 {
            parts.push(format!("{}<b>{number}</b> {}", mark(tone), tone.word()));
        }
    }
    fact("Certificates", parts.join(" "));
    fact("Nodes", format!("<b>{reachable}</b> of {} answer", overview.nodes.len()));
    let next = |found: Option<(Timestamp, &str)>| {
        found.map_or_else(
            || "<span class=\"none\">–</span>".to_owned(),
            |(at, name)| format!("<b>{}</b> <small>{}</small>", relative(at, now), Esc(name)),
        )
    };
    fact("Next due", next(overview.next_renewal()));
    fact("First end", next(overview.next_end()));
    fact("Looked at", format!("<time datetime=\"{looked_at}\">{}</time>", looked_at.strftime("%H:%M:%SZ")));
    out.push_str("</dl>");
}

fn troubles(out: &mut String, overview: &Overview, now: Timestamp) {
    out.push_str("<section id=\"problems\" aria-labelledby=\"problems-title\"><h2 id=\"problems-title\">Problems</h2>");
    if overview.troubles.is_empty() {
        out.push_str(&format!("<p class=\"empty\">{}None.</p></section>", mark(Tone::Good)));
        return;
    }
    out.push_str("<ul class=\"troubles\" role=\"list\">");
    for told in overview.troubles.iter().take(TROUBLES) {
        trouble(out, told, now);
    }
    out.push_str("</ul>");
    if let Some(more) = overview.troubles.len().checked_sub(TROUBLES + 1) {
        out.push_str(&format!("<p class=\"count\">and {} more: <code>hotcert status</code> lists all</p>", more + 1));
    }
    out.push_str("</section>");
}

fn trouble(out: &mut String, trouble: &Trouble, now: Timestamp) {
    let Trouble { tone, message, certificates, concerned, .. } = trouble;
    let word = match tone {
        Tone::Broken => "broken",
        _ => "needs a look",
    };
    out.push_str(&format!("<li class=\"{}\" data-key=\"{}\">", tone.word(), Esc(message)));
    out.push_str(&format!("{}<div><p class=\"what\"><span class=\"word {}\">{word}</span> ", mark(*tone), tone.word()));
    let subject = match (*concerned, trouble.files.is_empty()) {
        (0, true) => trouble.nodes.join(", "),
        (0, false) => trouble.files.join(", "),
        (1, _) => certificates.join(", "),
        _ => String::new(),
    };
    if !subject.is_empty() && !message.contains(&subject) {
        out.push_str(&format!("<b>{}</b>: ", Esc(&subject)));
    }
    out.push_str(&format!("{}</p>", Esc(message)));
    if let Some(hint) = &trouble.hint {
        out.push_str(&format!("<p class=\"hint\"><span>What to do</span> {}</p>", Esc(hint)));
    }
    let mut besides = Vec::new();
    if *concerned > 1 {
        let more = concerned - certificates.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        besides.push(format!("{concerned} certificates: {}{more}", certificates.join(", ")));
    }
    if *concerned > 0 && !trouble.nodes.is_empty() {
        besides.push(format!("on {}", trouble.nodes.join(", ")));
    }
    if let Some(at) = trouble.next_try {
        besides.push(format!("tried again {} ({})", relative(at, now), iso(at)));
    }
    if !besides.is_empty() {
        out.push_str(&format!("<p class=\"besides\">{}</p>", Esc(&besides.join(" · "))));
    }
    out.push_str("</div></li>");
}

fn nodes(out: &mut String, overview: &Overview, now: Timestamp) {
    out.push_str("<section id=\"nodes\" aria-labelledby=\"nodes-title\"><h2 id=\"nodes-title\">Nodes</h2>");
    if overview.nodes.is_empty() {
        out.push_str("<p class=\"empty\">No HAProxy is configured.</p></section>");
        return;
    }
    out.push_str("<ul class=\"cards\" role=\"list\">");
    let mut ordered: Vec<_> = overview.nodes.iter().collect();
    ordered.sort_by_key(|node| std::cmp::Reverse(node.tone));
    for shown in ordered.into_iter().take(NODES) {
        node(out, shown, now);
    }
    out.push_str("</ul>");
    if let Some(more) = overview.nodes.len().checked_sub(NODES + 1) {
        out.push_str(&format!("<p class=\"count\">and {} more</p>", more + 1));
    }
    out.push_str("</section>");
}

fn node(out: &mut String, node: &Node, now: Timestamp) {
    let word = match (node.reachable, node.tone) {
        (false, _) => "cannot be reached",
        (true, Tone::Good) => "answers",
        (true, _) => "answers, needs a look",
    };
    out.push_str(&format!(
        "<li class=\"{0}\" data-key=\"{1}\"><h3>{2}{1} <span class=\"word {0}\">{word}</span></h3><dl>",
        node.tone.word(),
        Esc(&node.name),
        mark(node.tone),
    ));
    let mut fact = |name: &str, value: &str| out.push_str(&format!("<dt>{name}</dt><dd>{}</dd>", Esc(value)));
    if let Some(version) = &node.version {
        fact("HAProxy", version);
    }
    if let Some(pid) = node.pid {
        let since = node.started_at.map(|at| format!(", since {} ({})", iso(at), relative(at, now)));
        fact("Process", &format!("{pid}{}", since.unwrap_or_default()));
    }
    fact("Socket", &node.address);
    for worker in node.old_workers.iter().take(WORKERS) {
        let age = lasting(now.as_second() - worker.started_at.as_second());
        let held = match worker.outdated.len() {
            0 => String::new(),
            number => format!(", still serves an older version of {}", count(number, "certificate")),
        };
        fact(
            "Old worker",
            &format!("{}: {age} old, {}{held}", worker.pid, count(worker.connections as usize, "connection")),
        );
    }
    if node.old_workers.len() > WORKERS {
        fact("Old workers", &format!("and {} more", node.old_workers.len() - WORKERS));
    }
    for (kind, file, state) in &node.files {
        fact(kind, &format!("{file}: {state}"));
    }
    if node.foreign > 0 {
        fact("Besides", &format!("{} that hotcert does not manage", count(node.foreign, "certificate")));
    }
    out.push_str("</dl></li>");
}

fn events(out: &mut String, overview: &Overview, now: Timestamp) {
    out.push_str("<section id=\"events\" aria-labelledby=\"events-title\"><h2 id=\"events-title\">Recent events</h2>");
    let events = overview.events.as_deref().unwrap_or_default();
    if events.is_empty() {
        out.push_str("<p class=\"empty\">None since the sidecar began.</p></section>");
        return;
    }
    out.push_str("<ol class=\"events\" role=\"list\">");
    for event in events.iter().take(EVENTS) {
        out.push_str(&format!(
            "<li data-key=\"{} {}\">{}<span class=\"at\">{}</span> <span class=\"word {}\">{}</span> <span class=\"text\">{}</span></li>",
            event.at,
            Esc(&event.text),
            mark(event.tone),
            when(Some(event.at), now),
            event.tone.word(),
            Esc(&event.kind),
            Esc(&event.text),
        ));
    }
    out.push_str("</ol></section>");
}
