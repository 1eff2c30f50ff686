//! The table of certificates, a screenful at a time, with its time line.

use jiff::Timestamp;

use super::html::Esc;
use super::query::{Query, SPANS};
use super::{mark, timeline};
use crate::observe::overview::{Certificate, Overview, Scale, Served, Tone, count, iso, relative};

/// How many certificates are shown at a time: what a person looks through, and some 150 kB.
const PAGE: usize = 50;
/// How many nodes of a certificate are shown each by itself; of more, those that are well are counted.
const NODES: usize = 6;
/// How many names of a certificate are listed.
const NAMES: usize = 100;
/// How many digits of a serial number are shown beside each other: enough to tell two apart at a glance.
const DIGITS: usize = 10;

/// The section of the certificates.
pub(super) fn section(out: &mut String, overview: &Overview, query: &Query, now: Timestamp) {
    let wanted: Vec<_> = overview.certificates.iter().filter(|certificate| query.wants(certificate)).collect();
    let pages = wanted.len().div_ceil(PAGE).max(1);
    let page = query.page.clamp(1, pages);
    let shown = wanted.iter().skip((page - 1) * PAGE).take(PAGE).copied();
    let scale = Scale::of(wanted.iter().copied(), query.span, now);

    out.push_str("<section id=\"certificates\" aria-labelledby=\"certificates-title\"><h2 id=\"certificates-title\">Certificates</h2>");
    form(out, query);
    let total = overview.certificates.len();
    out.push_str(&match (wanted.len(), pages) {
        (all, 1) if all == total => format!("<p class=\"count\">{}, worst first</p>", count(total, "certificate")),
        (some, 1) => format!("<p class=\"count\">{some} of {}, worst first</p>", count(total, "certificate")),
        (some, _) => format!(
            "<p class=\"count\">{} to {} of {some} that match, of {}, worst first</p>",
            (page - 1) * PAGE + 1,
            (page * PAGE).min(some),
            count(total, "certificate")
        ),
    });
    out.push_str(&timeline::definitions(&scale, now));
    if pages > 1 {
        out.push_str("<figure class=\"all\" aria-label=\"When all of them are due and end\">");
        out.push_str(&timeline::axis(&scale, now));
        out.push_str(&timeline::profile(&wanted, &scale, now));
        out.push_str("</figure>");
    }
    if wanted.is_empty() {
        out.push_str(if total == 0 {
            "<p class=\"empty\">There is none yet. Order one with <code>hotcert issue</code>, or load one with \
             <code>hotcert push</code>.</p>"
        } else {
            "<p class=\"empty\">None matches.</p>"
        });
    } else {
        table(out, shown, &scale, now);
    }
    pager(out, query, page, pages);
    out.push_str("</section>");
}

fn form(out: &mut String, query: &Query) {
    out.push_str(&format!(
        "<form class=\"filter\" method=\"get\" action=\"\" role=\"search\" aria-label=\"Certificates\">\
         <span class=\"field\"><label for=\"q\">Search</label><input id=\"q\" name=\"q\" type=\"search\" value=\"{}\" maxlength=\"300\" \
         placeholder=\"name, serial, issuer, node\" autocomplete=\"off\" spellcheck=\"false\"></span>\
         <span class=\"field\"><label for=\"show\">Show</label><select id=\"show\" name=\"show\"><option value=\"all\">all</option>\
         <option value=\"look\"{}>what needs a look</option></select></span>\
         <span class=\"field\"><label for=\"span\">Time line</label><select id=\"span\" name=\"span\">",
        Esc(&query.search),
        if query.only_look { " selected" } else { "" },
    ));
    for (span, word, label) in SPANS {
        let selected = if span == query.span { " selected" } else { "" };
        out.push_str(&format!("<option value=\"{word}\"{selected}>{label}</option>"));
    }
    out.push_str("</select></span><button type=\"submit\">Apply</button></form>");
}

fn pager(out: &mut String, query: &Query, page: usize, pages: usize) {
    if pages == 1 {
        return;
    }
    let link = |to: usize, rel: &str, label: &str| {
        if (1..=pages).contains(&to) && to != page {
            format!("<a href=\"{}#certificates\" rel=\"{rel}\">{label}</a>", Esc(&query.at(to).to_string()))
        } else {
            format!("<span class=\"off\">{label}</span>")
        }
    };
    out.push_str(&format!(
        "<nav class=\"pager\" aria-label=\"Pages of certificates\">{}{}<span>page {page} of {pages}</span>{}{}</nav>",
        link(1, "first", "First"),
        link(page.saturating_sub(1), "prev", "Previous"),
        link(page + 1, "next", "Next"),
        link(pages, "last", "Last"),
    ));
}

fn table<'a>(out: &mut String, shown: impl Iterator<Item = &'a Certificate>, scale: &Scale, now: Timestamp) {
    out.push_str(&format!(
        "<table role=\"table\"><caption class=\"sr\">Certificates and what each node serves. The time line shows {} to \
         {}.</caption><thead role=\"rowgroup\"><tr role=\"row\">\
         <th role=\"columnheader\" scope=\"col\">Certificate</th><th role=\"columnheader\" scope=\"col\">State</th>\
         <th role=\"columnheader\" scope=\"col\" class=\"line\"><span class=\"sr\">Lifetime</span>{}</th>\
         <th role=\"columnheader\" scope=\"col\">Due</th><th role=\"columnheader\" scope=\"col\">Ends</th>\
         <th role=\"columnheader\" scope=\"col\">Served by</th></tr></thead><tbody role=\"rowgroup\">",
        iso(scale.from),
        iso(scale.to),
        timeline::axis(scale, now),
    ));
    for certificate in shown {
        row(out, certificate, scale, now);
    }
    out.push_str(
        "</tbody></table><p class=\"legend\" aria-hidden=\"true\"><span class=\"key past\"></span>lived \
         <span class=\"key life\"></span>to come <span class=\"key window\"></span>time to renew \
         <span class=\"key emergency\"></span>last eighth <span class=\"key due\"></span>due \
         <span class=\"key suggested\"></span>suggested by the authority \
         <span class=\"key nowline\"></span>now</p>",
    );
}

fn row(out: &mut String, certificate: &Certificate, scale: &Scale, now: Timestamp) {
    let Certificate { name, tone, state, .. } = certificate;
    let key = certificate.key.as_deref().unwrap_or_default();
    let serial = certificate
        .serial
        .as_deref()
        .map(|serial| format!(" <code><span class=\"sr\">serial number ends in </span>{}</code>", Esc(&short(serial))));
    out.push_str(&format!(
        "<tr role=\"row\" class=\"{0}\" data-key=\"{1} {2}\"><th role=\"rowheader\" scope=\"row\"><span class=\"name\">{1}</span>",
        tone.word(),
        Esc(name),
        Esc(key),
    ));
    facts(out, certificate);
    out.push_str(&format!(
        "</th><td role=\"cell\" class=\"state\">{}<span class=\"word {}\">{}</span>{}</td>\
         <td role=\"cell\" class=\"line\">{}</td>",
        mark(*tone),
        tone.word(),
        Esc(state),
        serial.unwrap_or_default(),
        timeline::bar(certificate, scale, now),
    ));
    let end = certificate.life.map(|life| life.1);
    out.push_str(&format!(
        "<td role=\"cell\" class=\"when\"><span class=\"label\">Due </span>{}</td>\
         <td role=\"cell\" class=\"when\"><span class=\"label\">Ends </span>{}</td>",
        when(certificate.renew_at, now),
        when(end, now),
    ));
    out.push_str("<td role=\"cell\" class=\"nodes\">");
    nodes(out, certificate);
    out.push_str("</td></tr>");
}

/// An instant as people think of it, and as it stands in logs.
pub(super) fn when(at: Option<Timestamp>, now: Timestamp) -> String {
    at.map_or_else(
        || "<span class=\"none\">–</span>".to_owned(),
        |at| format!("<time datetime=\"{at}\">{}<small>{}</small></time>", relative(at, now), iso(at)),
    )
}

/// What one looks up, folded away.
fn facts(out: &mut String, certificate: &Certificate) {
    let others = certificate.domains.iter().filter(|domain| **domain != certificate.name).count();
    let mut parts: Vec<String> = certificate.key.iter().cloned().collect();
    if others > 0 {
        parts.push(format!("+{}", count(others, "name")));
    }
    let summary = if parts.is_empty() { "details".to_owned() } else { parts.join(" · ") };
    out.push_str(&format!("<details><summary>{}</summary><dl>", Esc(&summary)));
    let mut fact = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            out.push_str(&format!("<dt>{name}</dt><dd>{}</dd>", Esc(&value)));
        }
    };
    let mut names = certificate.domains.iter().take(NAMES).cloned().collect::<Vec<_>>().join(", ");
    if certificate.domains.len() > NAMES {
        names.push_str(&format!(" and {} more", certificate.domains.len() - NAMES));
    }
    fact("Names", Some(names).filter(|names| !names.is_empty()));
    fact("Serial", certificate.serial.clone());
    fact("SHA-256", certificate.sha256.clone());
    fact("From", Some(certificate.source.clone()));
    fact("Issuer", certificate.issuer.clone());
    fact("Generation", certificate.generation.map(|number| number.to_string()));
    fact("Valid", certificate.life.map(|(from, to)| format!("{} to {}", iso(from), iso(to))));
    fact("Suggested", certificate.window.map(|(from, to)| format!("renewal from {} to {}", iso(from), iso(to))));
    for served in &certificate.served {
        let slot = served.slot.as_deref().unwrap_or("no slot");
        let serial = served.serial.as_deref().unwrap_or("none");
        fact("On a node", Some(format!("{}: {slot}, serial {serial}", served.node)));
    }
    out.push_str("</dl></details>");
}

/// The nodes: each by itself, or only those that are not well when there are many.
fn nodes(out: &mut String, certificate: &Certificate) {
    if certificate.served.is_empty() {
        out.push_str("<span class=\"none\">no node</span>");
        return;
    }
    let are_many = certificate.served.len() > NODES;
    let shown = certificate.served.iter().filter(|served| !are_many || served.tone != Tone::Good).take(NODES);
    out.push_str("<ul class=\"chips\" role=\"list\">");
    let mut listed = 0;
    for served in shown {
        chip(out, served, certificate.serial.as_deref());
        listed += 1;
    }
    if are_many {
        let good = certificate.served.iter().filter(|served| served.tone == Tone::Good).count();
        let rest = certificate.served.len() - good - listed;
        if rest > 0 {
            out.push_str(&format!("<li>{}{rest} more not well</li>", mark(Tone::Look)));
        }
        if good > 0 {
            out.push_str(&format!("<li>{}{good} of {} in sync</li>", mark(Tone::Good), certificate.served.len()));
        }
    }
    out.push_str("</ul>");
}

fn chip(out: &mut String, served: &Served, stored: Option<&str>) {
    let proof = match served.verified.as_str() {
        "handshake" => " · handshake",
        "memory" => " · memory",
        _ => "",
    };
    let other = match served.serial.as_deref() {
        Some(serial) if Some(serial) != stored => format!(" · serial {}", short(serial)),
        _ => String::new(),
    };
    out.push_str(&format!(
        "<li><span class=\"node\">{}{}</span> <span class=\"word {}\">{}</span><span class=\"proof\">{proof}{}</span></li>",
        mark(served.tone),
        Esc(&served.node),
        served.tone.word(),
        Esc(&served.state),
        Esc(&other),
    ));
}

/// The end of a serial number; all of it stands in the details.
fn short(serial: &str) -> String {
    match serial.char_indices().rev().nth(DIGITS - 1) {
        Some((at, _)) if at > 0 => format!("…{}", &serial[at..]),
        _ => serial.to_owned(),
    }
}
