//! The lines of configuration that we print work in each version of HAProxy, for each way to answer challenges.

use std::process::Command;

use crate::support::{Haproxy, HaproxyVersion, Scratch, each_haproxy};
use hotcert::model::{Identifier, Token, quoted_argument, quoted_word};
use hotcert::probe::{Answer, Target, http01};
use hotcert::solver::{Listener, Via, haproxy_lines};

each_haproxy! {
    challenges_reach_our_listener_and_nothing_else_does,
    haproxy_answers_from_the_thumbprint_alone,
    haproxy_answers_from_a_map,
    haproxy_reads_a_quoted_word_as_it_was,
}

const TOKEN: &str = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0";

/// Both kinds of redirect below our lines, as a site that is https only has them.
const REDIRECTS: &str = "
    http-request redirect scheme https code 301
    redirect scheme https code 302 unless { path_beg /.well-known/acme-challenge/ }
";

/// A HAProxy with our lines on top of its frontend.
fn haproxy(version: HaproxyVersion, via: Via<'_>, map: &str) -> Haproxy {
    let number = version.name().split_once('.').unwrap();
    let number = (number.0.parse().unwrap(), number.1.parse().unwrap());
    let lines = haproxy_lines(via, Some(number));
    let (frontend, backend) = lines.split_once("\n\n").unwrap_or((&lines, ""));
    let config = format!(
        "global\n    maxconn 1000\n    stats socket {{socket}} mode 600 level admin\n\
         defaults\n    mode http\n    timeout client 10s\n    timeout server 10s\n    timeout connect 5s\n\
         frontend http\n    bind 127.0.0.1:{{http}}\n{frontend}\n{REDIRECTS}\n{backend}\n"
    );
    Haproxy::new(version).config(&config).file("acme.map", map).start()
}

async fn ask(haproxy: &Haproxy, token: &str) -> Answer {
    let name: Identifier = "a.test".parse().unwrap();
    let token: Token = token.parse().unwrap();
    http01(&Target::Address(haproxy.http_addr()), &name, &token).await.unwrap()
}

fn block_on(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap().block_on(test);
}

fn challenges_reach_our_listener_and_nothing_else_does(version: HaproxyVersion) {
    block_on(async {
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let haproxy = haproxy(version, Via::Listener(listener.local_addr()), "");
        assert_eq!(ask(&haproxy, TOKEN).await.status, 404);
        listener.add(&TOKEN.parse().unwrap(), "answer");
        let answer = ask(&haproxy, TOKEN).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, b"answer".as_slice()));
        let other = crate::support::http::http_get(haproxy.http_addr(), "a.test", "/").unwrap();
        assert_eq!(other.status, 301);
    });
}

fn haproxy_answers_from_the_thumbprint_alone(version: HaproxyVersion) {
    block_on(async {
        let haproxy = haproxy(version, Via::Stateless("thumb"), "");
        let answer = ask(&haproxy, TOKEN).await;
        assert_eq!((answer.status, answer.body), (200, format!("{TOKEN}.thumb").into_bytes()));
        assert_eq!(crate::support::http::http_get(haproxy.http_addr(), "a.test", "/").unwrap().status, 301);
    });
}

fn haproxy_answers_from_a_map(version: HaproxyVersion) {
    block_on(async {
        let haproxy = haproxy(version, Via::Map("{dir}/acme.map"), &format!("{TOKEN} {TOKEN}.thumb\n"));
        let answer = ask(&haproxy, TOKEN).await;
        assert_eq!((answer.status, answer.body), (200, format!("{TOKEN}.thumb").into_bytes()));
        assert_eq!(ask(&haproxy, "unknown").await.status, 404);
        haproxy.cli(&format!("add map {}/acme.map unknown answer", haproxy.dir().display()));
        assert_eq!(ask(&haproxy, "unknown").await.body, b"answer");
    });
}

/// It tells in its messages what it has read.
fn haproxy_reads_a_quoted_word_as_it_was(version: HaproxyVersion) {
    let scratch = Scratch::new();
    let (word, path) = ("a b\t#\"it's\" $HOME \\n ü", "/nowhere/it's \"a, b\" (c) $HOME\\.map");
    let map = quoted_word(&format!("path,map({})", quoted_argument(path)));
    let config = format!(
        "global\n    .notice {}\ndefaults\n    mode http\nfrontend f\n    http-request set-var(txn.a) {map}\n",
        quoted_word(word)
    );
    let file = scratch.write("haproxy.cfg", config);
    let output = Command::new(version.program()).arg("-c").arg("-f").arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("'{word}'")) && said.contains(&format!("<{path}>")), "{said}");
}
