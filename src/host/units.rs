//! Units of systemd, as their files say (`systemd.unit(5)`): those that an administrator or a package installed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::reloads::is_reload;
use super::text;

/// Where units are, the first of which wins (`systemd.unit(5)`, "Unit File Load Path").
const PLACES: [&str; 5] = [
    "etc/systemd/system",
    "run/systemd/system",
    "usr/local/lib/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
];
/// The kinds that run something, or set it off.
const KINDS: [&str; 3] = ["service", "path", "timer"];
/// Units that are looked at: a machine has some hundreds.
const UNITS: usize = 5000;

/// One unit, its drop-ins included.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unit {
    /// Its name, as in `certbot.service`.
    pub name: String,
    /// Its settings, in the order in which they count.
    pub settings: Vec<Setting>,
}

/// One line of a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// The file, as it is called on that machine.
    pub file: PathBuf,
    /// Its line, from 1.
    pub line: usize,
    /// The section, as in `Service`.
    pub section: String,
    /// The key.
    pub key: String,
    /// The value.
    pub value: String,
}

impl Unit {
    /// The values of a key; an empty one takes those before it away.
    #[must_use]
    pub fn values(&self, section: &str, key: &str) -> Vec<&Setting> {
        let mut values = Vec::new();
        for setting in self.settings.iter().filter(|setting| setting.section == section && setting.key == key) {
            if setting.value.is_empty() { values.clear() } else { values.push(setting) }
        }
        values
    }

    /// The lines by which it reloads `HAProxy`; none for a unit that runs `HAProxy` itself.
    #[must_use]
    pub fn reloads(&self) -> Vec<&Setting> {
        let runs = |setting: &&Setting| {
            let program = setting.value.split_whitespace().next().unwrap_or_default();
            program.rsplit('/').next() == Some("haproxy")
        };
        if self.values("Service", "ExecStart").iter().any(runs) {
            return Vec::new();
        }
        let passes_on = |setting: &Setting| {
            ["PropagatesReloadTo", "PropagatesStopTo"].contains(&setting.key.as_str())
                && setting.value.contains("haproxy")
        };
        let is_reload =
            |setting: &&Setting| setting.key.starts_with("Exec") && is_reload(&setting.value) || passes_on(setting);
        self.settings.iter().filter(is_reload).collect()
    }

    /// The units that set this one off: paths and timers.
    #[must_use]
    pub fn triggers<'u>(&self, all: &'u [Unit]) -> Vec<&'u Unit> {
        let (stem, _) = split(&self.name);
        let starts = |unit: &&Unit| {
            let (own, kind) = split(&unit.name);
            let section = if kind == "path" { "Path" } else { "Timer" };
            let named = unit.values(section, "Unit");
            kind != "service" && named.last().map_or(own == stem, |setting| setting.value == self.name)
        };
        all.iter().filter(starts).collect()
    }
}

/// The units of the machine whose files are below `root`, by name. Masked ones are left out.
#[must_use]
pub fn units(root: &Path) -> Vec<Unit> {
    let mut files: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut drop_ins: BTreeMap<String, BTreeMap<String, PathBuf>> = BTreeMap::new();
    for place in PLACES {
        for entry in text::entries(&root.join(place)) {
            let Some(name) = entry.file_name().and_then(|name| name.to_str()).map(str::to_owned) else { continue };
            if let Some(unit) = name.strip_suffix(".d").filter(|unit| is_unit(unit)) {
                for file in text::entries(&entry) {
                    let own = file.file_name().and_then(|name| name.to_str()).filter(|name| split(name).1 == "conf");
                    if let Some(own) = own {
                        drop_ins
                            .entry(unit.to_owned())
                            .or_default()
                            .entry(own.to_owned())
                            .or_insert_with(|| file.clone());
                    }
                }
            } else if is_unit(&name) && files.len() < UNITS {
                files.entry(name).or_insert(entry);
            }
        }
    }
    let unit = |(name, file): (String, PathBuf)| {
        let is_masked = fs::read_link(&file).is_ok_and(|target| target == Path::new("/dev/null"));
        let mut settings = if is_masked { return None } else { read(root, &file) };
        for file in drop_ins.get(&name).into_iter().flat_map(BTreeMap::values) {
            settings.extend(read(root, file));
        }
        Some(Unit { name, settings })
    };
    files.into_iter().filter_map(unit).collect()
}

fn is_unit(name: &str) -> bool {
    KINDS.contains(&split(name).1)
}

fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or((name, ""))
}

fn read(root: &Path, file: &Path) -> Vec<Setting> {
    let Some(content) = text::of(root, file) else { return Vec::new() };
    let shown = text::shown(root, file);
    let (mut section, mut settings) = (String::new(), Vec::new());
    let mut whole: Option<(usize, String)> = None;
    for (number, line) in (1..).zip(content.lines()) {
        let (begun, mut text) = whole.take().unwrap_or((number, String::new()));
        text.push_str(line.trim());
        // A line that ends in a backslash goes on; comments stand between.
        if let Some(open) = text.strip_suffix('\\') {
            whole = Some((begun, format!("{open} ")));
            continue;
        }
        if let Some(name) = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            name.clone_into(&mut section);
        } else if let Some((key, value)) = text.split_once('=').filter(|_| !text.starts_with(['#', ';'])) {
            settings.push(Setting {
                file: shown.clone(),
                line: begun,
                section: section.clone(),
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
            });
        }
    }
    settings
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    #[test]
    fn a_service_that_reloads_haproxy_is_found_with_what_sets_it_off() {
        let root = machine(&[
            (
                "usr/lib/systemd/system/haproxy.service",
                "[Service]\nExecStart=/usr/sbin/haproxy -Ws\nExecReload=/bin/kill -USR2 $MAINPID\n",
            ),
            ("etc/systemd/system/haproxy-reload.path", "[Path]\nPathModified=/etc/haproxy/certs\n"),
            (
                "etc/systemd/system/haproxy-reload.service",
                "[Service]\nType=oneshot\nExecStart=/bin/sh -c 'sleep 1; \\\n  systemctl reload haproxy'\n",
            ),
            (
                "etc/systemd/system/certbot.service.d/haproxy.conf",
                "[Service]\nExecStartPost=systemctl reload haproxy\n",
            ),
            ("lib/systemd/system/certbot.service", "[Service]\nExecStart=certbot -q renew\n"),
            ("lib/systemd/system/certbot.timer", "[Timer]\nOnCalendar=daily\n"),
            ("lib/systemd/system/other.service", "[Service]\nExecStart=systemctl reload haproxy\n"),
        ]);
        symlink("/dev/null", root.path().join("etc/systemd/system/other.service")).unwrap();
        let units = units(root.path());
        let found: Vec<_> = units
            .iter()
            .flat_map(|unit| unit.reloads().into_iter().map(|at| (at, unit.triggers(&units))))
            .map(|(at, by)| {
                let by: Vec<_> = by.iter().map(|unit| unit.name.as_str()).collect();
                format!("{}:{} by {}", at.file.display(), at.line, by.join(" "))
            })
            .collect();
        assert_eq!(
            found,
            [
                "/etc/systemd/system/certbot.service.d/haproxy.conf:2 by certbot.timer",
                "/etc/systemd/system/haproxy-reload.service:3 by haproxy-reload.path",
            ]
        );
    }

    #[test]
    fn an_empty_value_takes_those_before_it_away() {
        let root = machine(&[
            ("lib/systemd/system/hotcert.service", "[Service]\nUser=hotcert\nSupplementaryGroups=haproxy\n"),
            (
                "etc/systemd/system/hotcert.service.d/a.conf",
                "[Service]\nSupplementaryGroups=\nSupplementaryGroups=web tls\n",
            ),
        ]);
        let units = units(root.path());
        let values: Vec<_> =
            units[0].values("Service", "SupplementaryGroups").iter().map(|at| at.value.as_str()).collect();
        assert_eq!(values, ["web tls"]);
        assert_eq!(super::units(Path::new("/nowhere")), []);
    }
}
