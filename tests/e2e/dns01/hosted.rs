//! A provider with a programming interface of its own keeps the records.

use hotcert::probe::dns::txt_at;

use super::{expect_no_notes, head, rest};
use crate::support::bind::OTHER;
use crate::support::pdns::API_KEY;
use crate::support::sidecar::quoted;
use crate::support::{Hotcert, Outcome, Pdns, Pebble, PebbleVersion, secrets};

fn renew(hotcert: &Hotcert, pdns: &Pdns, pebble: &Pebble, key: &str, domains: &[&str]) -> Outcome {
    let key = hotcert.scratch().write("api.key", format!("{key}\n"));
    let solver = format!(
        "[solver.dns]\ntype = \"dns-01\"\nprovider = \"pdns\"\ncredentials = {{ api_key_file = {}, endpoint = {:?} }}\n",
        quoted(key),
        pdns.endpoint()
    );
    let text = head(hotcert, pdns.addr()) + &rest(pebble, &solver, "shared", domains);
    let file = hotcert.scratch().write("hotcert.toml", text);
    hotcert.run(["renew", "shared", "-vvv", "--json", "--force", "--config", file.to_str().unwrap()])
}

#[test]
fn a_hosted_provider_keeps_the_records_beside_others() {
    let (pdns, hotcert) = (Pdns::start(), Hotcert::new());
    let pebble = Pebble::new(PebbleVersion::V2_10).dns(pdns.addr()).start();
    let wrong = renew(&hotcert, &pdns, &pebble, "some-other-key", &["shared.test"]).expect_code(75);
    assert!(wrong.stdout.contains("the DNS provider pdns failed: it does not know us"), "{wrong:?}");
    assert!(wrong.stdout.contains("put credentials that are valid"), "{wrong:?}");
    assert!(!wrong.stderr.contains("may still be there"), "{wrong:?}");

    let outcome = renew(&hotcert, &pdns, &pebble, API_KEY, &["shared.test", "*.shared.test", "b.test"]).expect_code(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let txt = |name: &str| runtime.block_on(txt_at(pdns.addr(), &name.parse().unwrap())).unwrap();
    assert_eq!(txt("_acme-challenge.shared.test"), [OTHER]);
    assert_eq!(txt("_acme-challenge.b.test"), [] as [String; 0]);
    expect_no_notes(&hotcert);
    assert!(!outcome.stdout.contains(API_KEY) && !outcome.stderr.contains(API_KEY), "{outcome:?}");
    for file in secrets::files(&hotcert.state_dir()) {
        let bytes = std::fs::read(&file).unwrap();
        assert!(!bytes.windows(API_KEY.len()).any(|part| part == API_KEY.as_bytes()), "{}", file.display());
    }
}
