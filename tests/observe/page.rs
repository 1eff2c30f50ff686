//! The status page in a real browser.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::browser::Browser;
use crate::sample::{self, Shown, broken, certificate, good, node, report};
use crate::support::http::http_get;
use crate::support::net::Port;
use crate::support::{Haproxy, HaproxyVersion, House, sidecar};
use hotcert::observe::EventKind;

const PHONE: (u32, u32) = (320, 1400);
const DESKTOP: (u32, u32) = (1360, 1200);
const TAB: u32 = 9;

/// What accessibility is checked by: axe-core, which `scripts/browser` brings.
fn axe() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools/axe/axe.min.js");
    std::fs::read_to_string(&file).unwrap_or_else(|error| {
        panic!("{}: {error}\nhint: run ./scripts/browser, as ./scripts/test does", file.display())
    })
}

#[test]
fn a_renewal_appears_without_reloading_and_leaves_the_reader_where_they_were() {
    let house = House::new([Haproxy::new(HaproxyVersion::V3_2)]);
    let port = Port::reserve();
    let address = port.addr();
    let first = house.push("shop.test");
    let start =
        || sidecar::Sidecar::start(&house.hotcert, house.flags_and(&format!("[observe]\nlisten = \"{address}\"\n")));
    let sidecar = start();
    let mut browser = Browser::start();
    browser.open(&format!("http://{address}/"));
    browser.wait_for(&format!("document.body.textContent.includes('{}')", first.serial()));
    browser.wait_for("document.getElementById('live').textContent === 'live'");
    browser.value("document.querySelector('tbody summary').focus(); document.activeElement.click(); window.before = 1");

    let second = house.push("shop.test");
    browser
        .wait_for(&format!("document.querySelector('details[open] dl').textContent.includes('{}')", second.serial()));
    assert_eq!(browser.value("window.before"), json!(1), "the page was loaded anew");
    assert_eq!(browser.value("document.activeElement.localName"), json!("summary"));
    browser.wait_for("document.getElementById('events').textContent.includes('renewed')");
    browser.wait_for("document.getElementById('news').textContent.includes('shop.test')");

    // The server goes away, and comes back.
    let (stopped, _) = sidecar.stop();
    stopped.expect_code(0);
    browser.wait_for("document.getElementById('live').textContent.includes('lost')");
    let _sidecar = start();
    browser.wait_for("document.getElementById('live').textContent === 'live'");
    assert_eq!(browser.value("window.before"), json!(1), "the page was loaded anew");

    let foreign: Vec<_> =
        browser.requests.iter().filter(|url| !url.starts_with(&format!("http://{address}/"))).collect();
    assert!(foreign.iter().all(|url| **url == "about:blank"), "{foreign:?}");
    let wrong: Vec<_> = browser.complaints.iter().filter(|said| !said.contains("ERR_CONNECTION_REFUSED")).collect();
    let wrong: Vec<_> = wrong.iter().filter(|said| !said.contains("ERR_INCOMPLETE_CHUNKED_ENCODING")).collect();
    assert!(wrong.is_empty(), "{wrong:?}");
}

/// Pictures for people are written where `HOTCERT_PICTURES` says.
#[test]
fn the_page_is_accessible_on_a_phone_and_a_desk_by_day_and_by_night_whether_all_is_well_or_not() {
    let axe = axe();
    let pictures = std::env::var_os("HOTCERT_PICTURES").map(PathBuf::from);
    let mut browser = Browser::start();
    for (state, report) in [("good", good()), ("broken", broken())] {
        let shown = Shown::start(Some(report));
        shown.recall(&[
            (-0.02, EventKind::Loaded, "fast.example.net", Some("edge-2"), "serial 04ab is served"),
            (-0.021, EventKind::Renewed, "fast.example.net", None, "generation 41 is stored"),
            (-0.9, EventKind::Failed, "login.example.com", None, "the authority was answered 404"),
        ]);
        browser.look_like(DESKTOP, "light");
        browser.open(&shown.url());
        browser.wait_for("document.getElementById('live').textContent === 'live'");
        browser.value(&format!("{axe}; 0"));
        for (device, size) in [("desk", DESKTOP), ("phone", PHONE)] {
            for scheme in ["light", "dark"] {
                browser.look_like(size, scheme);
                let found = browser.value(
                    "axe.run(document, {resultTypes: ['violations']}).then(found => found.violations.map(one => \
                     [one.id, one.help, one.nodes.slice(0, 3).map(node => node.html + node.failureSummary)]))",
                );
                assert_eq!(found, json!([]), "{state} {device} {scheme}: {found:#}");
                let fits = browser.value("document.documentElement.scrollWidth <= innerWidth");
                assert_eq!(fits, json!(true), "{state} {device} {scheme} is scrolled sideways");
                if let Some(pictures) = &pictures {
                    browser.picture(&pictures.join(format!("page-{state}-{device}-{scheme}.png")), size);
                }
            }
        }
        // Before the server goes, which the browser would complain about.
        browser.open("about:blank#");
        assert_eq!(std::mem::take(&mut browser.complaints), Vec::<String>::new());
    }
}

#[test]
fn a_keyboard_reaches_everything_and_a_search_narrows_the_table_as_it_is_typed() {
    let shown = Shown::start(Some(broken()));
    let mut browser = Browser::start();
    browser.open(&shown.url());
    browser.wait_for("document.getElementById('live').textContent === 'live'");
    let mut seen = Vec::new();
    let focus = "(() => { const at = document.activeElement; if (at === document.body) return null; \
        const style = getComputedStyle(at); const box = at.getBoundingClientRect(); \
        return [at.id || at.className || at.localName, style.outlineStyle !== 'none' && box.width > 0]; })()";
    for _ in 0..60 {
        browser.press("Tab", TAB);
        let at = browser.value(focus);
        if at.is_null() {
            break;
        }
        assert_eq!(at[1], json!(true), "the focus on {} is not seen", at[0]);
        seen.push(at[0].as_str().unwrap().to_owned());
    }
    assert_eq!(seen[..9], ["skip", "a", "a", "a", "a", "q", "show", "span", "button"], "{seen:?}");
    let rows = 7;
    assert_eq!(seen[9..], [vec!["summary"; rows], vec!["a"]].concat(), "a trap, or something that cannot be reached");

    let nodes = ["edge-1"];
    let certificates = (0..120).map(|number| certificate(&format!("site-{number:03}.test"), 5.0, 90.0, &nodes));
    let shown = Shown::start(Some(report(certificates.collect(), vec![node("edge-1")])));
    browser.open(&shown.url());
    browser.wait_for("document.getElementById('live').textContent === 'live'");
    let rows = "document.querySelectorAll('tbody tr').length";
    assert_eq!(browser.value(rows), json!(50));
    browser.value("document.querySelector('.pager [rel=next]').click()");
    browser.wait_for("document.querySelector('.name')?.textContent === 'site-050.test'");
    browser.wait_for("document.getElementById('live').textContent === 'live'");
    browser.value("document.getElementById('q').focus()");
    browser.type_text("SITE-11");
    browser.wait_for(&format!("{rows} === 10"));
    assert_eq!(browser.value("document.activeElement.id + document.activeElement.value"), json!("qSITE-11"));
    let query = browser.value("location.search");
    let page = http_get(shown.address, "localhost", &format!("/{}", query.as_str().unwrap())).unwrap().text();
    assert_eq!(page.matches("class=\"name\"").count(), 10, "without scripts the page is whole\n{page}");
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn hostile_text_stays_text() {
    let mut hostile = good();
    let evil = "<img src=x onerror=window.evil=1>\"'><script>window.evil=1</script>\u{202e}";
    hostile.certificates[0].problem = Some(evil.to_owned());
    hostile.certificates[0].issuer = Some(evil.to_owned());
    hostile.certificates[1].nodes[0].detail = Some(evil.to_owned());
    hostile.certificates[1].nodes[0].slot = Some(evil.to_owned());
    hostile.nodes[0].address = evil.to_owned();
    hostile.nodes[0].version = Some(evil.to_owned());
    let shown = Shown::start(Some(good()));
    let mut browser = Browser::start();
    browser.open(&format!("{}?q=%22%3E%3Cscript%3Ewindow.evil=1%3C/script%3E&page=%3Cb%3E", shown.url()));
    browser.wait_for("document.getElementById('live').textContent === 'live'");
    browser.value("history.replaceState(null, '', '/')");
    shown.show(hostile);
    browser.wait_for("document.querySelector('#events').textContent.includes('onerror')");
    assert_eq!(browser.value("document.querySelectorAll('img, main script, [onerror]').length"), json!(0));
    assert_eq!(browser.value("typeof window.evil"), json!("undefined"));
    assert_eq!(browser.complaints, Vec::<String>::new());
}

#[test]
fn a_page_for_ten_thousand_certificates_stays_light() {
    let nodes = ["edge-1", "edge-2", "edge-3"];
    let name = |number: u32| format!("site-{number:05}.example.org");
    let certificates = (0..10_000).map(|number| certificate(&name(number), f64::from(number % 59), 90.0, &nodes));
    let shown = Shown::start(Some(report(certificates.collect(), nodes.map(node).to_vec())));
    let page = http_get(shown.address, "localhost", "/").unwrap();
    assert_eq!(page.status, 200);
    assert!(page.body.len() < 300_000, "{} bytes", page.body.len());
    assert!(page.text().contains("page 1 of 200") && page.text().contains("class=\"profile\""));
    let last = http_get(shown.address, "localhost", "/?page=99999999").unwrap().text();
    assert!(last.contains("site-09999.example.org"), "{last}");
    let found = http_get(shown.address, "localhost", "/?q=site-04711").unwrap().text();
    assert!(found.contains("site-04711.example.org") && found.contains("1 of 10000"), "{found}");
}

#[test]
fn a_page_before_the_first_look_says_so() {
    let shown = Shown::start(None);
    let page = http_get(shown.address, "localhost", "/").unwrap();
    assert!(page.text().contains("<h1 class=\"look\">") && page.text().contains("not every node was looked at yet"));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(http_get(shown.address, "localhost", "/status.json").unwrap().status, 503);
    let empty = Shown::start(Some(sample::report(Vec::new(), Vec::new())));
    assert!(http_get(empty.address, "localhost", "/").unwrap().text().contains("hotcert issue"));
}

/// As docs/status-page.md says.
const PROXY: &str = "\
global
    maxconn 1000
    stats socket {socket} mode 600 level {level} expose-fd listeners
{global}
userlist operators
    user ops insecure-password secret
defaults
    mode http
    timeout client 10s
    timeout server 10s
    timeout connect 5s
frontend http
    bind 127.0.0.1:{http}
    http-request redirect location /hotcert/ if { path /hotcert }
    use_backend hotcert if { path_beg /hotcert/ }
backend hotcert
    http-request auth realm hotcert unless { http_auth(operators) }
    http-request replace-path /hotcert/(.*) /\\1
    http-request set-header Host 127.0.0.1
    server page 127.0.0.1:{acme}
";

#[test]
fn behind_haproxy_the_page_asks_for_a_password_and_stays_live() {
    let shown = Shown::start(Some(good()));
    let config = PROXY.replace("127.0.0.1:{acme}", &shown.address.to_string());
    let haproxy = Haproxy::new(HaproxyVersion::V2_6).config(&config).start();
    let address = haproxy.http_addr();
    assert_eq!(http_get(address, "status.example.org", "/hotcert/").unwrap().status, 401);
    let mut browser = Browser::start();
    // ops:secret
    browser.call("Network.setExtraHTTPHeaders", &json!({"headers": {"Authorization": "Basic b3BzOnNlY3JldA=="}}));
    browser.open(&format!("http://{address}/hotcert"));
    browser.wait_for("document.getElementById('live').textContent === 'live'");
    assert_eq!(browser.value("getComputedStyle(document.querySelector('h1')).display"), json!("flex"), "has no style");
    shown.show(broken());
    browser.wait_for("document.querySelector('h1').textContent.includes('1 node cannot be reached')");
    assert_eq!(browser.complaints, Vec::<String>::new());
}
