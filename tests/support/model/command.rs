//! What a process does on a command, and what it answers, word by word (management guide, section 9.3).

use super::content::{Content, Unreadable};
use super::process::{Process, split_line, text};
use super::show;

/// Options that a line of a crt-list may have, as far as tests use them.
const OPTIONS: [&str; 10] = [
    "alpn",
    "ssl-min-ver",
    "ssl-max-ver",
    "verify",
    "ca-file",
    "crl-file",
    "ciphers",
    "ciphersuites",
    "curves",
    "ocsp-update",
];

impl Process {
    /// Carries out one command; the answer is without what frames it.
    pub fn execute(&mut self, line: &str, payload: Option<&str>) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let words: Vec<&str> = match payload {
            Some(_) => words.split_last().map_or_else(Vec::new, |(_, rest)| rest.to_vec()),
            None => words,
        };
        if let Some(refused) = self.permission(&words) {
            return refused;
        }
        match words.as_slice() {
            [] | ["prompt"] | ["set", "timeout", "cli", _] => String::new(),
            ["show", "info"] => show::info(self),
            ["show", "cli", "level"] => self.layout.level.clone(),
            ["show", "pools"] => show::pools(self),
            ["show", "ssl", "cert"] => show::certificates(self),
            ["show", "ssl", "cert", name] => show::certificate(self, name),
            ["show", "ssl", "crt-list"] => self.lists.keys().cloned().collect::<Vec<_>>().join("\n"),
            ["show", "ssl", "crt-list", "-n", list] => show::entries(self, list.trim_end_matches('/'), true),
            ["show", "ssl", "crt-list", list] => show::entries(self, list.trim_end_matches('/'), false),
            ["show", "ssl", "sni"] if self.profile.shows_more() => show::sni(self),
            ["new", "ssl", "cert", slot] if self.profile.makes_certificates() => self.new_slot(slot),
            ["set", "ssl", "cert", slot] => self.set(slot, payload),
            ["commit", "ssl", "cert", slot] => self.commit(slot),
            ["abort", "ssl", "cert", slot] => self.abort(slot),
            ["del", "ssl", "cert", slot] => self.delete(slot),
            ["add", "ssl", "crt-list", list] => self.add(list.trim_end_matches('/'), payload.unwrap_or_default()),
            ["add", "ssl", "crt-list", list, slot] => self.add(list.trim_end_matches('/'), slot),
            ["del", "ssl", "crt-list", list, entry] => self.remove(list.trim_end_matches('/'), entry),
            ["show", "map", map] => self.map(map, |_, entries| show::map(entries)),
            ["add", "map", map, key, value] => self.map(map, |number, entries| {
                entries.push((number, (*key).to_owned(), (*value).to_owned()));
                String::new()
            }),
            ["del", "map", map, key] => self.map(map, |_, entries| {
                let before = entries.len();
                entries.retain(|(_, found, _)| found != key);
                if entries.len() == before { "Key not found.".to_owned() } else { String::new() }
            }),
            [first, ..] if self.profile.repeats_what_is_unknown() => format!("Unknown command: '{first}', {OTHERS}"),
            _ => format!("Unknown command, {OTHERS}"),
        }
    }

    fn permission(&self, words: &[&str]) -> Option<String> {
        let level = self.layout.level.as_str();
        let refused = match words {
            ["show", "ssl", "cert", ..] if level == "user" => "Can't allocate memory!",
            ["show", "ssl", "crt-list", ..] | ["new" | "set" | "commit" | "abort" | "del" | "add", "ssl", ..]
                if level != "admin" =>
            {
                "Permission denied"
            }
            _ => return None,
        };
        Some(refused.to_owned())
    }

    /// Some versions have one line more after a refusal.
    fn refusal(&self, text: String) -> String {
        if self.profile.ends_refusals_twice() { text + "\n" } else { text }
    }

    fn new_slot(&mut self, slot: &str) -> String {
        if self.slots.contains_key(slot) {
            return format!("Certificate '{slot}' already exists!");
        }
        self.slots.insert(slot.to_owned(), Content::default());
        format!("New empty certificate store '{slot}'!")
    }

    fn set(&mut self, name: &str, payload: Option<&str>) -> String {
        let Some(pem) = payload else {
            let quote = if self.profile.forgets_a_quote() { "" } else { "'" };
            return format!("'set ssl cert{quote} expects a filename and a certificate as a payload");
        };
        let mut endings = vec![".key", ".ocsp", ".issuer", ".sctl"];
        if self.profile.crt_is_a_suffix() {
            endings.push(".crt");
        }
        let part = endings.into_iter().find(|ending| name.ends_with(ending));
        let slot = part.map_or(name, |ending| &name[..name.len() - ending.len()]);
        let fail = |why: &str| format!("{why}\nCan't update {slot}!");
        let open = self.transaction.clone();
        if let Some((open, _)) = &open
            && open != slot
            && !self.profile.sets_into_any_transaction()
        {
            return fail(&format!("The ongoing transaction is about '{open}' but you are trying to set '{slot}'"));
        }
        let mut next = match (&open, self.slots.get(slot)) {
            (Some((_, content)), _) | (None, Some(content)) => content.clone(),
            (None, None) => return fail("Can't replace a certificate which is not referenced by the configuration!"),
        };
        let read = match part {
            None | Some(".crt") => Content::read(pem).map(|content| next = content),
            Some(".key") => next.take_key(pem),
            // What is stapled is not shown.
            Some(_) => Ok(()),
        };
        if let Err(Unreadable(why)) = read {
            let why = if self.profile.tells_what_openssl_says() { format!(": {why}") } else { String::new() };
            return fail(&format!("unable to load certificate from file '{slot}'{why}.\nCan't load the payload"));
        }
        let done = if open.is_some() { "updated" } else { "created" };
        let about = open.map_or_else(|| slot.to_owned(), |(open, _)| open);
        let reply = format!("Transaction {done} for certificate {about}!");
        self.transaction = Some((about, next));
        reply
    }

    fn commit(&mut self, slot: &str) -> String {
        let fail = |why: &str| format!("{why}\nCan't commit {slot}!");
        let (open, content) = match &self.transaction {
            None => return fail("No ongoing transaction! !"),
            Some((open, _)) if open != slot => {
                return fail(&format!("The ongoing transaction is about '{open}' but you are trying to set '{slot}'"));
            }
            Some((open, content)) => (open.clone(), content.clone()),
        };
        if !content.is_complete() {
            return fail("The transaction must contain at least a certificate and a private key!");
        }
        if !content.is_consistent() {
            return fail(&format!("inconsistencies between private key and certificate loaded '{slot}'."));
        }
        self.transaction = None;
        let instances = self.replace(&open, content);
        format!("Committing {open}{}\nSuccess!", ".".repeat(instances))
    }

    fn abort(&mut self, slot: &str) -> String {
        match &self.transaction {
            None => "No ongoing transaction!".to_owned(),
            Some((open, _)) if open != slot => {
                format!(
                    "The ongoing transaction is about '{open}' but you are trying to abort a transaction for '{slot}'"
                )
            }
            Some(_) => {
                self.transaction = None;
                format!("Transaction aborted for certificate '{slot}'!")
            }
        }
    }

    fn delete(&mut self, slot: &str) -> String {
        let fail = |why: String| format!("Can't remove the certificate: {why}");
        if matches!(&self.transaction, Some((open, _)) if open == slot) {
            return fail(format!("ongoing transaction for the certificate '{slot}'"));
        }
        if !self.slots.contains_key(slot) {
            return self.refusal(fail(format!("certificate '{slot}' doesn't exist!")));
        }
        if self.is_used(slot) {
            return self.refusal(fail(format!("certificate '{slot}' in use, can't be deleted!")));
        }
        self.slots.remove(slot);
        format!("Certificate '{slot}' deleted!")
    }

    fn add(&mut self, list: &str, line: &str) -> String {
        let fail = |why: &str| format!("Can't edit the crt-list: {why}");
        let (slot, options, filters) = split_line(line);
        let Some(found) = self.lists.get(list) else {
            return fail(&format!("crt-list '{list}' does not exist!"));
        };
        if line.trim_end_matches('\n').contains('\n') {
            return fail("only one line of payload is supported!");
        }
        if let Some(unknown) = options.split_whitespace().next().filter(|word| !OPTIONS.contains(word)) {
            return fail(&format!("parsing [CLI:1]: unknown ssl keyword {unknown}"));
        }
        if found.is_directory {
            let parent = slot.rsplit_once('/').map_or("", |(parent, _)| parent);
            if self.profile.keeps_directories_flat() && parent != list {
                let why = format!("'{list}' is a directory, certificate path '{slot}' must contain the directory path");
                return fail(&why);
            }
            if found.entries.iter().any(|entry| entry.slot == slot) {
                return fail("file already exists in this directory!");
            }
        }
        match self.slots.get(&slot) {
            None => return fail(&format!("certificate '{slot}' does not exist!")),
            Some(content) if content.leaf.is_none() => return fail(&format!("certificate '{slot}' is empty!")),
            Some(_) => {}
        }
        let line = found.last_line + 1;
        let entry = self.entry(&slot, line, options, filters);
        self.attach(list, entry);
        format!("Inserting certificate '{slot}' in crt-list '{list}'.\nSuccess!")
    }

    fn remove(&mut self, list: &str, entry: &str) -> String {
        let fail = |why: String| format!("Can't delete the entry: {why}");
        let (slot, line) = match entry.rsplit_once(':') {
            Some((slot, line)) => (slot, line.parse::<u32>().ok()),
            None => (entry, None),
        };
        let Some(found) = self.lists.get(list) else {
            return fail(format!("crt-list '{list}' does not exist!"));
        };
        if !self.slots.contains_key(slot) {
            return fail(format!("certificate '{slot}' does not exist!"));
        }
        let entries: Vec<_> = found.entries.iter().filter(|entry| entry.slot == slot).collect();
        let lines = entries.iter().map(|entry| entry.line.to_string()).collect::<Vec<_>>().join(", ");
        let specify = format!("line number preceded by colons ({lines})!");
        let entry = match (entries.as_slice(), line) {
            ([], _) => return fail(format!("certificate '{slot}' can't be found in crt-list '{list}'!")),
            ([entry], None) => entry,
            (_, None) => {
                return fail(format!("found the certificate '{slot}' in several entries, please specify a {specify}"));
            }
            (entries, Some(line)) => {
                let Some(entry) = entries.iter().find(|entry| entry.line == line) else {
                    let wrong = "but the line number is incorrect, please specify a correct";
                    return fail(format!("found a certificate '{slot}' {wrong} {specify}"));
                };
                entry
            }
        };
        let id = entry.id;
        let places = self.defaults(id);
        if !places.is_empty() {
            let places: String = places.iter().map(|place| format!("\t- {place}\n")).collect();
            let why = format!(
                "certificate '{slot}' cannot be deleted, it is used as default certificate by the following frontends:"
            );
            return self.refusal(fail(format!("{why}\n{}", places.trim_end())));
        }
        self.detach(list, id);
        format!("Entry '{slot}' deleted in crtlist '{list}'!")
    }

    fn map(&mut self, map: &str, then: impl FnOnce(usize, &mut Vec<(usize, String, String)>) -> String) -> String {
        let number = self.number();
        match self.maps.get_mut(&text(map.as_ref())) {
            Some(entries) => then(number, entries),
            None => "Unknown map identifier. Please use #<id> or <file>.".to_owned(),
        }
    }
}

const OTHERS: &str = "but maybe one of the following ones is a better match:\n  help [<command>]                        : list matching or all commands";
