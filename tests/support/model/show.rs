//! What a process lists, word by word.

use jiff::tz::TimeZone;

use super::content::Leaf;
use super::process::Process;

const NO_CERTIFICATE: &str = "Can't display the certificate: Not found or the certificate is a bundle!";

pub fn info(process: &Process) -> String {
    let Process { profile, pid, started, stopping, .. } = process;
    let stopping = i32::from(*stopping);
    let version = &profile.text;
    let info =
        format!("Name: HAProxy\nVersion: {version}\nProcess_num: 1\nPid: {pid}\nUptime_sec: 0\nStopping: {stopping}");
    if profile.tells_its_start() { format!("{info}\nStart_time_sec: {started}") } else { info }
}

pub fn pools(process: &Process) -> String {
    let rounded = process.layout.bufsize.next_multiple_of(16);
    format!(
        "Dumping pools usage. Use SIGQUIT to flush them.\n  - Pool buffer ({rounded} bytes) : 4 allocated (1 bytes)"
    )
}

pub fn certificates(process: &Process) -> String {
    let mut lines = Vec::new();
    if let Some((open, _)) = &process.transaction {
        lines.extend(["# transaction".to_owned(), format!("*{open}")]);
    }
    lines.push("# filename".to_owned());
    lines.extend(process.slots.keys().cloned());
    lines.join("\n")
}

pub fn certificate(process: &Process, name: &str) -> String {
    let more = process.profile.shows_more();
    let (content, status) = match (name.strip_prefix('*'), &process.transaction) {
        (Some(slot), Some((open, content))) if open == slot => (content, if more { "Uncommitted" } else { "Unused" }),
        (Some(_), _) => return NO_CERTIFICATE.to_owned(),
        (None, _) => match process.slots.get(name) {
            None => return NO_CERTIFICATE.to_owned(),
            Some(content) if content.leaf.is_none() => (content, "Empty"),
            Some(content) => (content, if process.is_used(name) { "Used" } else { "Unused" }),
        },
    };
    let mut lines = vec![format!("Filename: {name}")];
    lines.push(format!("Status: {status}"));
    if let Some(leaf) = &content.leaf {
        lines.push(leaf.description.clone());
    }
    lines.push("OCSP Response Key: ".to_owned());
    let whole = lines.join("\n");
    // What does not fit into a buffer is left out.
    if whole.len() > process.layout.bufsize { whole[..process.layout.bufsize].to_owned() } else { whole }
}

/// What the description of a slot says of its certificate.
pub fn description(leaf: &Leaf) -> String {
    let names: Vec<String> = leaf.alternatives.iter().map(|name| format!("DNS:{name}")).collect();
    let mut lines = vec![
        format!("Serial: {}", leaf.serial.to_uppercase()),
        format!("notBefore: {}", date(leaf.not_before)),
        format!("notAfter: {}", date(leaf.not_after)),
        format!("Subject Alternative Name: {}", names.join(", ")),
        format!("Algorithm: {}", leaf.algorithm),
        format!("SHA1 FingerPrint: {}", leaf.sha1),
        format!("Subject: {}", leaf.subject),
        format!("Issuer: {}", leaf.issuer),
    ];
    for (subject, issuer) in &leaf.chain {
        lines.extend([format!("Chain Subject: {subject}"), format!("Chain Issuer: {issuer}")]);
    }
    lines.join("\n")
}

fn date(instant: jiff::Timestamp) -> String {
    instant.to_zoned(TimeZone::UTC).strftime("%b %e %H:%M:%S %Y GMT").to_string()
}

pub fn entries(process: &Process, name: &str, numbered: bool) -> String {
    let Some(list) = process.lists.get(name) else { return "didn't find the specified filename".to_owned() };
    let mut lines = vec![format!("# {name}")];
    for entry in &list.entries {
        let mut line = entry.slot.clone();
        if numbered {
            line += &format!(":{}", entry.line);
        }
        if !entry.options.is_empty() {
            // The end of a C string is among them.
            line += &format!(" [{}\0]", entry.options);
        }
        entry.filters.iter().for_each(|filter| line += &format!(" {filter}"));
        lines.push(line);
    }
    lines.join("\n")
}

/// On each bind the names, then the default, then the wildcards; several of one name in the order in which they are served.
pub fn sni(process: &Process) -> String {
    let mut lines = vec!["# Frontend/Bind\tSNI\tNegative Filter\tType\tFilename\tNotAfter\tNotBefore".to_owned()];
    for bind in &process.binds {
        let (mut exact, mut wild) = (Vec::new(), Vec::new());
        for sni in &bind.served {
            match sni.name.strip_prefix('*') {
                Some(rest) => wild.push((rest.to_owned(), sni.slot.as_str(), sni.entry)),
                None => exact.push((sni.name.clone(), sni.slot.as_str(), sni.entry)),
            }
        }
        if let Some(default) = bind.default
            && let Some(slot) = process.slot_of(default)
        {
            wild.push((String::new(), slot, default));
        }
        exact.sort_by(|a, b| a.0.cmp(&b.0));
        wild.sort_by(|a, b| a.0.cmp(&b.0));
        let wild = wild.into_iter().map(|(rest, slot, entry)| (format!("*{rest}"), slot, entry));
        for (name, slot, entry) in exact.into_iter().chain(wild) {
            let Some(leaf) = process.slots.get(slot).and_then(|content| content.leaf.as_ref()) else { continue };
            let negative: String = match name.strip_prefix('*') {
                Some(_) => process.negative(entry).iter().map(|filter| format!("{filter} ")).collect(),
                None => String::new(),
            };
            let negative = if negative.is_empty() { "-" } else { &negative };
            let kind = if leaf.algorithm.starts_with("EC") { "ecdsa" } else { "rsa" };
            let (end, start) = (date(leaf.not_after), date(leaf.not_before));
            lines.push(format!("{}\t{name}\t{negative}\t{kind}\t{slot}\t{end}\t{start}", bind.line.name));
        }
    }
    lines.join("\n")
}

pub fn map(entries: &[(usize, String, String)]) -> String {
    entries
        .iter()
        .map(|(number, key, value)| format!("{:#x} {key} {value}", number * 64))
        .collect::<Vec<_>>()
        .join("\n")
}
