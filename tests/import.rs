//! What other programs manage is taken over as it is: nothing is ordered, nothing of theirs is touched, and the next renewal is ours.
//! And other programs are told what happens (`events`).

#![expect(clippy::unwrap_used, reason = "a test may panic anywhere")]

#[path = "import/events.rs"]
mod events;
mod support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use support::tool::{self, Ended};
use support::{
    Certbot, Haproxy, HaproxyVersion, Hotcert, House, KeyType, Leaf, Outcome, Pebble, PebbleVersion, Pki, Scratch,
    Site, Webroot, poll, sidecar,
};

/// A site at whose authority a name is validated once, as at a public one: that makes the renewals quick.
fn site() -> Site {
    Site::with(Haproxy::new(HaproxyVersion::V3_2), Pebble::new(PebbleVersion::V2_10).reuse_authz(100))
}

/// Runs `import` with these flags, and checks that the other program's directory stays what it is, byte for byte.
#[track_caller]
fn import(hotcert: &Hotcert, program: &str, directory: &Path, flags: &[OsString]) -> Outcome {
    let before = snapshot(directory);
    let words = ["import", program].map(OsString::from).into_iter().chain([directory.into()]);
    let ended = hotcert.run(words.chain(flags.iter().cloned()).chain(["--json".into()]));
    assert!(snapshot(directory) == before, "{} was changed\n{ended:?}", directory.display());
    assert!(!format!("{ended:?}").contains("PRIVATE KEY"), "{ended:?}");
    ended
}

/// Everything below a directory: kind and mode, time of change, and contents or target.
fn snapshot(directory: &Path) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, seen) = (entry.path(), entry.path().symlink_metadata().unwrap());
        let contents = match seen.file_type() {
            kind if kind.is_symlink() => fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec(),
            kind if kind.is_file() => fs::read(&path).unwrap(),
            _ => Vec::new(),
        };
        found.insert(path.clone(), (seen.mode(), seen.mtime(), seen.mtime_nsec(), contents));
        if seen.is_dir() {
            found.extend(snapshot(&path));
        }
    }
    found
}

/// Those of them that are not locks.
fn state(hotcert: &Hotcert) -> BTreeMap<PathBuf, (u32, i64, i64, Vec<u8>)> {
    let mut found = snapshot(&hotcert.state_dir());
    found.retain(|path, _| !path.to_string_lossy().contains("/locks"));
    found
}

/// The state of each certificate, by name.
fn states(ended: &Outcome) -> BTreeMap<String, String> {
    let document: Value = ended.json();
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let lines = document["certificates"].as_array().unwrap_or_else(|| panic!("{ended:?}"));
    lines.iter().map(|line| (text(&line["name"]), text(&line["state"]))).collect()
}

#[track_caller]
fn expect_states(ended: &Outcome, expected: &[(&str, &str)]) {
    let expected: BTreeMap<_, _> = expected.iter().map(|(name, state)| ((*name).into(), (*state).into())).collect();
    assert_eq!(states(ended), expected, "{ended:?}");
}

/// Imports again, with which nothing changes.
#[track_caller]
fn expect_nothing_new(hotcert: &Hotcert, program: &str, directory: &Path, flags: &[OsString]) {
    let before = state(hotcert);
    let again = import(hotcert, program, directory, flags);
    assert!(states(&again).values().all(|state| state != "adopted"), "{again:?}");
    assert!(state(hotcert) == before, "the second import changed something\n{again:?}");
}

fn flags(site: &Site) -> Vec<OsString> {
    site.node_flags().into_iter().chain(site.authority_flags()).collect()
}

fn served(site: &Site, name: &str, fullchain: &str) -> bool {
    site.served(name).leaf() == pem::parse(fullchain).unwrap().contents()
}

#[test]
fn what_certbot_manages_is_served_and_renewed_without_an_order_for_the_import() {
    let site = site();
    let certbot = Certbot::new(&site.pebble, site.haproxy.acme_addr());
    certbot.obtain(&["shop.test", "www.shop.test"], ["--deploy-hook", "true"]).expect_success();
    let fullchain = certbot.read("shop.test", "fullchain.pem");
    let (orders, accounts, config_dir) = (site.pebble.orders(), site.pebble.accounts(), certbot.config_dir());

    let dry: Vec<_> = flags(&site).into_iter().chain(["--dry-run".into()]).collect();
    let before = state(&site.hotcert);
    expect_states(&import(&site.hotcert, "certbot", &config_dir, &dry).expect_code(0), &[("shop.test", "adopted")]);
    assert!(state(&site.hotcert) == before, "a dry run changed something");

    let ended = import(&site.hotcert, "certbot", &config_dir, &flags(&site)).expect_code(0);
    expect_states(&ended, &[("shop.test", "adopted")]);
    let document = ended.json();
    assert_eq!(document["certificates"][0]["domains"], serde_json::json!(["shop.test", "www.shop.test"]));
    // certbot signs by RSA, and hotcert does not.
    assert_eq!(document["accounts"][0]["state"], "skipped");
    let notices = document["notices"].to_string();
    for said in ["RSA key", "must not renew", "the first renewal registers a new one", "certbot runs"] {
        assert!(notices.contains(said), "{said} in {ended:?}");
    }
    assert_eq!((site.pebble.orders(), site.pebble.accounts()), (orders, accounts));
    expect_nothing_new(&site.hotcert, "certbot", &config_dir, &flags(&site));

    site.run(&["sync"]).expect_code(0);
    assert!(served(&site, "www.shop.test", &fullchain));
    let outlook = site.run(&["renew", "--dry-run"]).expect_code(0);
    assert!(outlook.stdout.starts_with("nothing is due\nshop.test: is due at"), "{outlook:?}");

    // What hotcert has renewed is not replaced by what certbot still has.
    site.run(&["renew", "--force"]).expect_code(0);
    assert!(!served(&site, "shop.test", &fullchain));
    expect_states(&import(&site.hotcert, "certbot", &config_dir, &flags(&site)), &[("shop.test", "older")]);
    expect_nothing_new(&site.hotcert, "certbot", &config_dir, &flags(&site));
}

#[test]
fn the_account_of_lego_goes_on_with_what_it_ordered() {
    let site = site();
    let scratch = Scratch::new();
    let mut lego = Command::new(tool::packaged("lego"));
    lego.env("LEGO_CA_CERTIFICATES", site.pebble.root_ca()).current_dir(scratch.path());
    lego.args(["--server", &site.pebble.directory(), "--email", "a@example.org", "--accept-tos", "--path", "lego"]);
    lego.args(["--domains", "shop.test", "--http", "--http.port", &site.haproxy.acme_addr().to_string(), "run"]);
    tool::run(&mut lego).expect_success();
    let (accounts, directory) = (site.pebble.accounts(), scratch.join("lego"));
    let fullchain = scratch.read("lego/certificates/shop.test.crt");

    // Its files hold no more of the authority than the host.
    let ended = import(&site.hotcert, "lego", &directory, &site.node_flags()).expect_code(2);
    expect_states(&ended, &[("shop.test", "skipped")]);
    assert!(ended.stdout.contains("--directory"), "{ended:?}");
    // Neither are terms agreed to, nor is there another contact: the account has done both.
    let mut flags: Vec<OsString> = site.node_flags();
    for (flag, value) in [
        ("--directory", site.pebble.directory().into()),
        ("--root-ca", site.pebble.root_ca().as_os_str().to_owned()),
        ("--http-01-listen", site.haproxy.acme_addr().to_string().into()),
        ("--http-01-probe", site.haproxy.http_addr().to_string().into()),
    ] {
        flags.extend([OsString::from(flag), value]);
    }
    let ended = import(&site.hotcert, "lego", &directory, &flags).expect_code(0);
    expect_states(&ended, &[("shop.test", "adopted")]);
    assert_eq!(ended.json()["accounts"][0]["state"], "adopted", "{ended:?}");
    expect_nothing_new(&site.hotcert, "lego", &directory, &flags);
    site.run(&["sync"]).expect_code(0);
    assert!(served(&site, "shop.test", &fullchain));

    site.run(&["renew", "--force"]).expect_code(0);
    assert!(!served(&site, "shop.test", &fullchain));
    assert_eq!(site.pebble.accounts(), accounts, "another account was registered");
    assert_eq!(site.pebble.replacements(), 1, "the authority was not told what is replaced");
}

#[test]
fn what_dehydrated_manages_is_adopted_under_its_aliases() {
    let site = site();
    let (scratch, webroot) = (Scratch::new(), Webroot::serve(site.haproxy.acme_addr()));
    let well_known = webroot.path().join(".well-known/acme-challenge");
    fs::create_dir_all(&well_known).unwrap();
    let base = scratch.dir("dehydrated");
    let settings = format!(
        "CA={}\nBASEDIR={}\nWELLKNOWN={}\nKEY_ALGO=prime256v1\nCONTACT_EMAIL=ops@example.org\nCURL_OPTS='--cacert {}'\n",
        site.pebble.directory(),
        base.display(),
        well_known.display(),
        site.pebble.root_ca().display(),
    );
    let config = scratch.write("dehydrated/config", settings);
    let dehydrated = |arguments: &[&str]| -> Ended {
        tool::run(Command::new(tool::packaged("dehydrated")).arg("--config").arg(&config).args(arguments))
    };
    dehydrated(&["--register", "--accept-terms"]).expect_success();
    dehydrated(&["--cron", "--domain", "shop.test www.shop.test", "--alias", "shop"]).expect_success();
    let root_ca = ["--root-ca".into(), site.pebble.root_ca().into()];
    let ended = import(&site.hotcert, "dehydrated", &base, &[site.node_flags(), root_ca.to_vec()].concat());
    expect_states(&ended, &[("shop", "adopted")]);
    let notices = ended.json()["notices"].to_string();
    for said in [
        "its key is an RSA key".to_owned(),
        "--contact ops@example.org --agree-terms".to_owned(),
        format!("--webroot {}", webroot.path().display()),
    ] {
        assert!(notices.contains(&said), "{said} in {ended:?}");
    }
    site.run(&["sync"]).expect_code(0);
    assert!(served(&site, "www.shop.test", &scratch.read("dehydrated/certs/shop/fullchain.pem")));
}

/// acme.sh is in no package. This is what version 3.1.4 leaves after `--issue -d shop.test -d www.shop.test`, and after the same with
/// `-k 2048`, but with other keys, and with an account that is registered by other means.
#[test]
fn what_acme_sh_manages_is_adopted_with_both_kinds_and_its_account() {
    let site = site();
    let other = Hotcert::new();
    let state_dir = ["--state-dir".into(), other.state_dir().into_os_string()];
    let register =
        ["account", "register", "--contact", "ops@example.org", "--agree-terms", "--json"].map(OsString::from);
    let ca = ["--directory".into(), site.pebble.directory().into(), "--root-ca".into(), site.pebble.root_ca().into()];
    let registered = other.run([&register[..], &ca, &state_dir].concat()).expect_code(0).json();
    let key = fs::read(registered["account"]["key_file"].as_str().unwrap()).unwrap();
    let accounts = site.pebble.accounts();

    let (scratch, pki) = (Scratch::new(), Pki::new());
    let api = site.pebble.directory();
    for (directory, kind, length) in
        [("shop.test_ecc", KeyType::EcdsaP256, "ec-256"), ("shop.test", KeyType::Rsa2048, "2048")]
    {
        let leaf = pki.leaf("shop.test").names(&["shop.test", "www.shop.test"]).key(kind).issue();
        let write = |file: &str, text: String| scratch.write(format!("acme/{directory}/{file}"), text);
        write("shop.test.cer", leaf.cert_pem());
        write("ca.cer", leaf.chain_pem());
        write("fullchain.cer", leaf.fullchain());
        write("shop.test.key", if kind == KeyType::Rsa2048 { leaf.key_pkcs1() } else { leaf.key_sec1() });
        let webroot = if length == "2048" { "dns_cf" } else { "/var/www/html" };
        write(
            "shop.test.conf",
            format!(
                "Le_Domain='shop.test'\nLe_Alt='www.shop.test'\nLe_Webroot='{webroot}'\nLe_API='{api}'\nLe_Keylength='{length}'\n\
                 Le_ReloadCmd='__ACME_BASE64__START_c3lzdGVtY3RsIHJlbG9hZCBoYXByb3h5__ACME_BASE64__END_'\n"
            ),
        );
    }
    scratch.write("acme/ca/127.0.0.1/dir/account.key", key);
    scratch.write("acme/ca/127.0.0.1/dir/account.json", r#"{"status":"valid","key":{"kty":"EC"}}"#);
    let url = registered["account"]["url"].as_str().unwrap();
    scratch.write("acme/ca/127.0.0.1/dir/ca.conf", format!("ACCOUNT_URL='{url}'\nCA_EMAIL='ops@example.org'\n"));
    scratch.write("acme/account.conf", "USER_PATH='/usr/bin'\n");

    let mut flags = site.node_flags();
    for (flag, value) in [
        ("--root-ca", site.pebble.root_ca().into_os_string()),
        ("--http-01-listen", site.haproxy.acme_addr().to_string().into()),
        ("--http-01-probe", site.haproxy.http_addr().to_string().into()),
    ] {
        flags.extend([OsString::from(flag), value]);
    }
    let ended = import(&site.hotcert, "acme.sh", &scratch.join("acme"), &flags).expect_code(0);
    let document = ended.json();
    let keys: Vec<_> = document["certificates"].as_array().unwrap().iter().map(|line| &line["key"]).collect();
    assert_eq!(keys, ["rsa-2048", "ecdsa-p256"], "{ended:?}");
    assert_eq!(document["accounts"][0]["url"], url, "{ended:?}");
    assert!(document["notices"].to_string().contains("systemctl reload haproxy"), "{ended:?}");
    expect_nothing_new(&site.hotcert, "acme.sh", &scratch.join("acme"), &flags);

    let renewed = site.run(&["renew", "--force", "shop.test.ecdsa", "--json"]).expect_code(0).json();
    assert_eq!(renewed["ordered"], serde_json::json!(["shop.test.ecdsa"]));
    assert_eq!(site.pebble.accounts(), accounts, "another account was registered");
}

#[test]
fn what_is_broken_or_hostile_is_left_out_and_told_and_the_rest_goes_on() {
    let (hotcert, scratch, pki) = (Hotcert::new(), Scratch::new(), Pki::new());
    let leaf = pki.leaf("good.test").issue();
    let lineage = |name: &str, fullchain: &str, key: &str| {
        scratch.write(format!("etc/live/{name}/fullchain.pem"), fullchain);
        scratch.write(format!("etc/live/{name}/privkey.pem"), key);
        scratch.write(
            format!("etc/renewal/{name}.conf"),
            "[renewalparams]\nserver = https://acme-v02.api.letsencrypt.org/directory\nauthenticator = dns-\u{1b}[31mx\n",
        );
    };
    lineage("good.test", &leaf.fullchain(), &leaf.key_pem());
    let old = pki.leaf("old.test").valid_days(-90, -1).issue();
    lineage("old.test", &old.fullchain(), &old.key_pem());
    lineage("mismatch.test", &pki.leaf("mismatch.test").issue().fullchain(), &leaf.key_pem());
    lineage("huge.test", &"x".repeat(2 << 20), &leaf.key_pem());
    lineage("empty.test", "", "");
    lineage("bad name", &leaf.fullchain(), &leaf.key_pem());
    lineage("shop.key", &leaf.fullchain(), &leaf.key_pem());
    lineage("binary.test", "\0\u{1}\u{2}", &leaf.key_pem());
    let wild = pki.leaf("*.wild.test").issue();
    lineage("wild.test", &wild.fullchain(), &wild.key_pem());
    // A key that is not in the directory, and a link in a circle.
    scratch.write("elsewhere/privkey.pem", leaf.key_pem());
    scratch.write("etc/live/outside.test/fullchain.pem", leaf.fullchain());
    symlink(scratch.join("elsewhere/privkey.pem"), scratch.join("etc/live/outside.test/privkey.pem")).unwrap();
    scratch.dir("etc/live/circle.test");
    symlink("fullchain.pem", scratch.join("etc/live/circle.test/fullchain.pem")).unwrap();
    symlink("..", scratch.dir("etc/accounts").join("up")).unwrap();
    // Names that nobody can type.
    let odd = std::ffi::OsStr::from_bytes(b"etc/live/\xff\xfe.test");
    fs::create_dir_all(scratch.join(odd)).unwrap();
    fs::create_dir_all(scratch.join("etc/live/evil\u{1b}[31m.test")).unwrap();
    scratch.write("etc/renewal/..conf", "");
    scratch.write("etc/accounts/h/d/1/private_key.json", "{\"kty\":\"EC\",\"crv\":\"P-256\",\"d\":\"c2VjcmV0\"}");

    let flags = ["--state-dir".into(), hotcert.state_dir().into_os_string()];
    let ended = import(&hotcert, "certbot", &scratch.join("etc"), &flags).expect_code(2);
    let skipped =
        ["?", "binary.test", "circle.test", "empty.test", "huge.test", "mismatch.test", "old.test", "outside.test"];
    let expected: Vec<_> = skipped.iter().map(|name| (*name, "skipped")).collect();
    expect_states(&ended, &[&[("good.test", "adopted"), ("wild.test", "adopted")], expected.as_slice()].concat());
    for said in
        ["has expired", "does not match", "leads out of", "larger than", "proves no wildcard", "certbot's dns-[31mx"]
    {
        assert!(ended.stdout.contains(said), "{said} in {ended:?}");
    }
    for hidden in ["\u{1b}", "c2VjcmV0"] {
        assert!(!ended.stdout.contains(hidden) && !ended.stderr.contains(hidden), "{ended:?}");
    }
    expect_nothing_new(&hotcert, "certbot", &scratch.join("etc"), &flags);
    let listed = hotcert.run(["list", "--state-dir"].map(OsString::from).into_iter().chain([flags[1].clone()]));
    assert_eq!(listed.expect_code(0).stdout.lines().count(), 2);

    // What is of another program, or of none, is told with what to name instead.
    for (program, directory) in [("lego", "etc"), ("acme.sh", "elsewhere"), ("dehydrated", "elsewhere")] {
        let ended = import(&hotcert, program, &scratch.join(directory), &flags).expect_code(64);
        assert!(ended.stdout.contains("there is nothing of"), "{ended:?}");
    }
    import(&hotcert, "certbot", &scratch.join("nowhere"), &flags).expect_code(1);
    scratch.write("conf/config", "BASEDIR=/var/lib/dehydrated\n");
    let ended = import(&hotcert, "dehydrated", &scratch.join("conf"), &flags).expect_code(64);
    assert!(ended.stdout.contains("import /var/lib/dehydrated"), "{ended:?}");
}

#[test]
fn what_is_imported_beside_a_daemon_is_served_at_once_and_renewed_by_it() {
    let house = House::new([Haproxy::new(HaproxyVersion::V3_2)]);
    let daemon = house.sidecar();
    let scratch = Scratch::new();
    let (name, server) = ("shop.test", "https://ca.example.org/directory");
    let lineage = |leaf: &Leaf| {
        scratch.write(format!("etc/live/{name}/fullchain.pem"), leaf.fullchain());
        scratch.write(format!("etc/live/{name}/privkey.pem"), leaf.key_pem());
        scratch.write(format!("etc/renewal/{name}.conf"), format!("[renewalparams]\nserver = {server}\n"));
    };
    let root = scratch.write("root.pem", house.pki.root_pem());
    let flags: Vec<_> = house.flags().into_iter().chain(["--root-ca".into(), root.into()]).collect();
    let adopt = |leaf: &Leaf| {
        lineage(leaf);
        let ended = import(&house.hotcert, "certbot", &scratch.join("etc"), &flags).expect_code(0);
        expect_states(&ended, &[(name, "adopted")]);
        let serial = Some(leaf.serial().to_owned());
        let is_served = || (sidecar::serial(&house.nodes[0], name) == serial).then_some(());
        poll(sidecar::DEADLINE, is_served).unwrap_or_else(|| panic!("{}", daemon.log()));
    };
    adopt(&house.pki.leaf(name).issue());
    // The daemon knows what to renew, and from whom.
    let status = house.run(&["status", "--json"]).expect_code(0).json();
    let known = &status["certificates"][0];
    assert_eq!((&known["source"], &known["state"]), (&"import".into(), &"serving".into()), "{status:#}");
    assert!(known["renew_at"].is_string() && known["issuer"] == server, "{status:#}");
    // A newer one takes its place, and the same one changes nothing.
    let newer = house.pki.leaf(name).issue();
    adopt(&newer);
    expect_states(&import(&house.hotcert, "certbot", &scratch.join("etc"), &flags), &[(name, "present")]);
    house.expect_no_open_transaction();
    drop(daemon.stop());
}
