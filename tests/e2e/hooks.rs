//! The hooks for other clients, run by those clients: what they order from a real authority is served by a real HAProxy.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::tool::{self, Ended};
use crate::support::{Certbot, Haproxy, HaproxyVersion, Leaf, Pebble, PebbleVersion, Pki, Scratch, Site, Webroot};

/// A site whose hotcert has a configuration file, and what another client needs to use it.
struct Surroundings {
    site: Site,
    config: PathBuf,
    scratch: Scratch,
}

impl Surroundings {
    fn new(haproxy: HaproxyVersion) -> Self {
        // A name is validated once, as at a public authority: that makes the renewals quick.
        let site = Site::with(Haproxy::new(haproxy), Pebble::new(PebbleVersion::V2_10).reuse_authz(100));
        let settings = format!(
            "version = 1\nstate_dir = '{}'\n\n[haproxy.edge]\nsocket = '{}'\ncrt_dir = '{}'\nverify = ['{}']\n",
            site.hotcert.state_dir().display(),
            site.haproxy.socket().display(),
            site.haproxy.crt_dir().display(),
            site.haproxy.https_addr(),
        );
        let config = site.hotcert.scratch().write("hotcert.toml", settings);
        Self { site, config, scratch: Scratch::new() }
    }

    /// Makes every push fail from now on, and nothing else.
    fn break_hotcert(&self) {
        fs::write(&self.config, "version = 0\n").unwrap();
    }

    /// A hook with its arguments, as one line for a shell.
    fn line(&self, hook: &str) -> String {
        format!("{} --config {}", script(hook).display(), self.config.display())
    }

    /// A command that finds the program under test by its name.
    fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        command.env("PATH", tool::path_with_hotcert(&self.scratch)).current_dir(self.scratch.path());
        command
    }

    /// Checks that a certificate file is what clients see and what HAProxy finds at its next start, and that what the client
    /// printed holds no key.
    #[track_caller]
    fn expect_served(&self, sni: &str, name: &str, fullchain: &str, ended: &Ended) {
        assert_eq!(self.site.served(sni).leaf(), pem::parse(fullchain).unwrap().contents(), "{ended:?}");
        let published = fs::read_to_string(self.site.haproxy.crt_dir().join(format!("{name}.pem"))).unwrap();
        assert!(published.contains(fullchain.lines().nth(1).unwrap()), "{name} is published");
        assert!(!ended.output.contains("PRIVATE KEY"), "{ended:?}");
    }
}

#[test]
fn what_certbot_issues_and_renews_is_served() {
    let there = Surroundings::new(HaproxyVersion::V2_6);
    let certbot = Certbot::new(&there.site.pebble, there.site.haproxy.acme_addr());
    let ended = certbot.obtain(&["shop.test", "www.shop.test"], ["--deploy-hook", &there.line("certbot")]);
    let first = certbot.read("shop.test", "fullchain.pem");
    there.expect_served("www.shop.test", "shop.test", &first, &ended.expect_success());

    // The renewal remembers the hook.
    let ended = certbot.renew();
    let second = certbot.read("shop.test", "fullchain.pem");
    assert_ne!(first, second);
    there.expect_served("www.shop.test", "shop.test", &second, &ended.expect_success());

    there.break_hotcert();
    let ended = certbot.renew();
    // Whatever a deploy hook says, certbot itself succeeds.
    assert!(ended.output.contains("reported error code 78"), "{ended:?}");
}

#[test]
fn what_lego_issues_and_renews_is_served() {
    let there = Surroundings::new(HaproxyVersion::V3_2);
    let lego = |there: &Surroundings, arguments: &[&str]| {
        let mut command = there.command(tool::packaged("lego"));
        command.env("LEGO_CA_CERTIFICATES", there.site.pebble.root_ca());
        command.args(["--server", &there.site.pebble.directory(), "--email", "a@example.org", "--accept-tos"]);
        command.args(["--path", "lego", "--domains", "shop.test"]);
        command.args(["--http", "--http.port", &there.site.haproxy.acme_addr().to_string()]);
        tool::run(command.args(arguments))
    };
    let ended = lego(&there, &["run", "--run-hook", &there.line("lego")]).expect_success();
    let first = there.scratch.read("lego/certificates/shop.test.crt");
    there.expect_served("shop.test", "shop.test", &first, &ended);

    let renew = ["renew", "--days", "10000", "--no-random-sleep", "--renew-hook", &there.line("lego")];
    let ended = lego(&there, &renew).expect_success();
    let second = there.scratch.read("lego/certificates/shop.test.crt");
    assert_ne!(first, second);
    there.expect_served("shop.test", "shop.test", &second, &ended);

    there.break_hotcert();
    let ended = lego(&there, &renew).expect_failure();
    assert!(ended.output.contains("exit status 78"), "{ended:?}");
}

#[test]
fn what_dehydrated_issues_and_renews_is_served() {
    let there = Surroundings::new(HaproxyVersion::V3_0);
    let webroot = Webroot::serve(there.site.haproxy.acme_addr());
    let well_known = webroot.path().join(".well-known/acme-challenge");
    fs::create_dir_all(&well_known).unwrap();
    // Its hook is a path alone, so flags need a file of their own.
    let hook =
        format!("#!/bin/sh\nexec {} \"$@\" --config {}\n", script("dehydrated").display(), there.config.display());
    let hook = there.scratch.write("hook", hook);
    there.scratch.chmod("hook", 0o755);
    let settings = format!(
        "CA={}\nBASEDIR={}\nWELLKNOWN={}\nHOOK={}\nKEY_ALGO=prime256v1\nCURL_OPTS='--cacert {}'\n",
        there.site.pebble.directory(),
        there.scratch.dir("dehydrated").display(),
        well_known.display(),
        hook.display(),
        there.site.pebble.root_ca().display(),
    );
    let settings = there.scratch.write("config", settings);
    let dehydrated = |there: &Surroundings, arguments: &[&str]| {
        let mut command = there.command(tool::packaged("dehydrated"));
        tool::run(command.arg("--config").arg(&settings).args(arguments))
    };
    let order = ["--cron", "--domain", "shop.test", "--alias", "shop"];
    dehydrated(&there, &["--register", "--accept-terms"]).expect_success();
    let ended = dehydrated(&there, &order).expect_success();
    let first = there.scratch.read("dehydrated/certs/shop/fullchain.pem");
    there.expect_served("shop.test", "shop", &first, &ended);

    let renew: Vec<&str> = order.into_iter().chain(["--force"]).collect();
    let ended = dehydrated(&there, &renew).expect_success();
    let second = there.scratch.read("dehydrated/certs/shop/fullchain.pem");
    assert_ne!(first, second);
    there.expect_served("shop.test", "shop", &second, &ended);
}

/// acme.sh is in no package; this is the environment that it gives to `--reloadcmd`, as version 3.1 does.
#[test]
fn what_acme_sh_hands_over_is_served() {
    let there = Surroundings::new(HaproxyVersion::V2_8);
    let leaf = Pki::new().leaf("*.shop.test").issue();
    let ended = tool::run(&mut acme_sh(&there, &leaf)).expect_success();
    there.expect_served("www.shop.test", "_.shop.test", &leaf.fullchain(), &ended);
}

#[test]
fn lego_5_has_other_words_for_the_same() {
    let there = Surroundings::new(HaproxyVersion::V2_8);
    let leaf = Pki::new().leaf("*.shop.test").issue();
    let mut command = hook(&there, "lego");
    command.env("LEGO_HOOK_CERT_PATH", there.scratch.write("shop.crt", leaf.fullchain()));
    command.env("LEGO_HOOK_CERT_KEY_PATH", there.scratch.write("shop.key", leaf.key_pem()));
    let ended = tool::run(command.env("LEGO_HOOK_CERT_NAME", "*.shop.test")).expect_success();
    there.expect_served("www.shop.test", "_.shop.test", &leaf.fullchain(), &ended);
}

#[test]
fn a_hook_fails_when_its_client_says_nothing_or_the_push_is_refused() {
    let there = Surroundings::new(HaproxyVersion::V3_2);
    for name in ["certbot", "acme.sh", "lego"] {
        let ended = tool::run(&mut hook(&there, name)).expect_failure();
        assert!(ended.output.contains("is for "), "{ended:?}");
    }
    // What dehydrated says besides is for other hooks.
    for operation in [&[][..], &["startup_hook"], &["unchanged_cert", "shop.test"], &["an_operation_of_tomorrow"]] {
        let ended = tool::run(there.command(script("dehydrated")).args(operation)).expect_success();
        assert_eq!(ended.output, "");
    }
    // dehydrated itself then fails too; to see that would take a third order, of some seconds.
    let nothing =
        ["deploy_cert", "shop.test", "none/privkey.pem", "none/cert.pem", "none/fullchain.pem", "none/chain.pem"];
    let ended = tool::run(there.command(script("dehydrated")).args(nothing).arg("1780000000")).expect_failure();
    assert!(ended.output.contains("none/fullchain.pem"), "{ended:?}");
    let pki = Pki::new();
    let (leaf, other) = (pki.leaf("shop.test").issue(), pki.leaf("shop.test").issue());
    let mut command = acme_sh(&there, &leaf);
    command.env("CERT_KEY_PATH", there.scratch.write("other.key", other.key_pem()));
    let ended = tool::run(&mut command).expect_failure();
    assert!(!ended.output.contains("PRIVATE KEY"), "{ended:?}");
}

fn script(hook: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/hooks").join(hook)
}

fn hook(there: &Surroundings, name: &str) -> Command {
    let mut command = there.command(script(name));
    command.arg("--config").arg(&there.config);
    command
}

fn acme_sh(there: &Surroundings, leaf: &Leaf) -> Command {
    let mut command = hook(there, "acme.sh");
    command.env("Le_Domain", leaf.names().first().unwrap());
    command.env("CERT_FULLCHAIN_PATH", there.scratch.write("fullchain.cer", leaf.fullchain()));
    command.env("CERT_KEY_PATH", there.scratch.write("shop.key", leaf.key_pem()));
    command
}
