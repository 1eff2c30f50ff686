//! The settings of other programs: assignments as shells read them, and the sections of certbot. Nothing is evaluated.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// Around a value that acme.sh keeps in base64.
const ACME_SH_BASE64: (&str, &str) = ("__ACME_BASE64__START_", "__ACME_BASE64__END_");

/// Assignments, `KEY=value`, of which the last one counts.
#[derive(Debug, Default)]
pub(super) struct Settings(BTreeMap<String, String>);

impl Settings {
    /// Reads assignments as a shell does, as far as they hold nothing to evaluate; what does is left out.
    pub(super) fn of_shell(text: &str) -> Self {
        let mut found = Self::default();
        for line in text.lines() {
            let line = line.trim();
            let line = line.strip_prefix("export ").unwrap_or(line);
            let Some((key, value)) = line.split_once('=') else { continue };
            let is_name = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let value = if is_name { found.unquoted(value.trim()) } else { None };
            if let Some(value) = value {
                found.0.insert(key.to_owned(), value);
            }
        }
        found
    }

    /// Reads the assignments before all sections of a file of certbot, and those of one section.
    pub(super) fn of_certbot(text: &str, section: &str) -> Self {
        let mut found = Self::default();
        let mut is_meant = true;
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with('#')) {
            if let Some(rest) = line.strip_prefix('[') {
                is_meant = rest.strip_suffix(']') == Some(section);
            } else if let Some((key, value)) = line.split_once('=').filter(|_| is_meant) {
                let value = value.trim();
                let quoted = ['"', '\''].into_iter().find_map(|quote| value.strip_prefix(quote)?.strip_suffix(quote));
                found.0.insert(key.trim().to_owned(), quoted.unwrap_or(value).to_owned());
            }
        }
        found
    }

    /// A value; one that is empty is none.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The parts of a list with commas.
    pub(super) fn list(&self, key: &str) -> impl Iterator<Item = &str> {
        self.get(key).into_iter().flat_map(|list| list.split(',')).map(str::trim).filter(|part| !part.is_empty())
    }

    /// A value without its quotes, and with the values that were assigned before it; `None` when there is more to evaluate.
    fn unquoted(&self, value: &str) -> Option<String> {
        if let Some(rest) = value.strip_prefix('\'') {
            let value = rest.split('\'').next()?;
            let (start, end) = ACME_SH_BASE64;
            let Some(encoded) = value.strip_prefix(start).and_then(|rest| rest.strip_suffix(end)) else {
                return Some(value.to_owned());
            };
            return String::from_utf8(BASE64_STANDARD.decode(encoded).ok()?).ok();
        }
        let value = match value.strip_prefix('"') {
            Some(rest) => rest.split('"').next()?,
            None => value.split([' ', '\t', ';', '#']).next()?,
        };
        self.expanded(value)
    }

    fn expanded(&self, value: &str) -> Option<String> {
        let mut parts = value.split('$');
        let mut out = parts.next()?.to_owned();
        for part in parts {
            let (name, rest) = match part.strip_prefix('{') {
                Some(part) => part.split_once('}')?,
                None => {
                    part.split_at(part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(part.len()))
                }
            };
            out.push_str(self.0.get(name)?);
            out.push_str(rest);
        }
        (!out.contains(['`', '\\'])).then_some(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments_are_read_as_a_shell_does_and_nothing_is_run() {
        let settings = Settings::of_shell(
            "# CA=\"no\"\nBASEDIR=/var/lib/x\n  CA=\"letsencrypt\" # comment\nexport WELLKNOWN=\"${BASEDIR}/c\"\n\
             Le_Webroot='dns_cf'\nLe_ReloadCmd='__ACME_BASE64__START_dHJ1ZSAieCI=__ACME_BASE64__END_'\n\
             EVIL=\"$(touch /tmp/x)\"\nWORSE=`id`\nCA=other\nnonsense\n=1\nA-B=1\nEMPTY=''\nUNKNOWN=$NOTHING/x\n",
        );
        assert_eq!((settings.get("CA"), settings.get("WELLKNOWN")), (Some("other"), Some("/var/lib/x/c")));
        assert_eq!((settings.get("Le_Webroot"), settings.get("Le_ReloadCmd")), (Some("dns_cf"), Some("true \"x\"")));
        for key in ["EVIL", "WORSE", "A-B", "", "EMPTY", "UNKNOWN"] {
            assert_eq!(settings.get(key), None, "{key}");
        }
    }

    #[test]
    fn certbots_sections_are_told_apart() {
        let text = "# a = b\nversion = 2.1.0\n[renewalparams]\nserver = https://ca.test/dir\npref_challs = dns-01, http-01,\n\
                    installer = None\n[[webroot_map]]\na.test = /srv\n[other]\nserver = no\n";
        let settings = Settings::of_certbot(text, "renewalparams");
        assert_eq!((settings.get("version"), settings.get("server")), (Some("2.1.0"), Some("https://ca.test/dir")));
        assert_eq!(settings.list("pref_challs").collect::<Vec<_>>(), ["dns-01", "http-01"]);
        assert_eq!((settings.get("a.test"), settings.get("# a")), (None, None));
    }
}
