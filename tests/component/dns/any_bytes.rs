//! Whatever a server of the DNS answers, it does no harm.

use std::time::{Duration, Instant};

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{CAA, CNAME, NS, TXT};
use hickory_proto::rr::{Name, RData, Record};
use hotcert::model::ChallengeKind;
use hotcert::probe::dns::{Asking, Error, Resolver, txt_at};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{of, run};
use crate::support::Names;
use crate::support::names::answer_to;

const CASES: u32 = 150;
/// How long all look-ups of a case may take together, when the server answers each of them.
const SOON: Duration = Duration::from_secs(20);

#[derive(Debug, Clone)]
enum Data {
    Alias(Vec<Vec<u8>>),
    Server(Vec<Vec<u8>>),
    Text(Vec<Vec<u8>>),
    Caa(bool, String, Vec<u8>),
}

fn labels() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let label = prop_oneof![
        vec(any::<u8>(), 1..64),
        "[a-z0-9_-]{1,20}".prop_map(String::into_bytes),
        prop::sample::select(vec![&b"a"[..], b"test", b"$(id)", b"a;b", b"\x1b[31m", b"..", b"*"])
            .prop_map(<[u8]>::to_vec),
    ];
    vec(label, 1..4)
}

fn data() -> impl Strategy<Value = Data> {
    let bytes = || vec(any::<u8>(), 0..256);
    prop_oneof![
        labels().prop_map(Data::Alias),
        labels().prop_map(Data::Server),
        vec(bytes(), 1..4).prop_map(Data::Text),
        (any::<bool>(), "[a-z0-9]{1,15}|issue|issuewild", bytes()).prop_map(|(is_critical, tag, value)| Data::Caa(
            is_critical,
            tag,
            value
        )),
    ]
}

impl Data {
    fn to_record(&self) -> Option<RData> {
        let name = |labels: &Vec<Vec<u8>>| Name::from_labels(labels.iter().map(Vec::as_slice)).ok();
        Some(match self {
            Self::Alias(labels) => RData::CNAME(CNAME(name(labels)?)),
            Self::Server(labels) => RData::NS(NS(name(labels)?)),
            Self::Text(parts) => {
                RData::TXT(TXT::from_bytes(parts.iter().map(|part| &part[..part.len().min(255)]).collect()))
            }
            Self::Caa(is_critical, tag, value) => {
                let mut caa = CAA::new_issue(*is_critical, None, Vec::new());
                caa.tag.clone_from(tag);
                caa.value.clone_from(value);
                RData::CAA(caa)
            }
        })
    }
}

/// Does every kind of look-up, and checks whatever comes out of it.
fn look(names: &Names) {
    let began = Instant::now();
    let resolver = Resolver::new(&[names.addr()]);
    let asked = of("_acme-challenge.a.test");
    run(async {
        let told = |error: Error| {
            assert!(!error.to_string().contains(char::is_control), "{error}");
            assert!(error.to_string().len() < 10_000);
            assert!(!error.is_unheard(), "{error}");
        };
        if let Err(error) = resolver.addresses(&asked).await {
            told(error);
        }
        match resolver.caa(&asked).await {
            Ok(Some(set)) => {
                for caa in &set.records {
                    assert!(!caa.to_string().contains(char::is_control), "{caa:?}");
                }
                let identities = ["ca.test".to_owned()];
                for kind in ChallengeKind::ALL {
                    let _ = set.forbids(&Asking { identities: &identities, account: None, kind, is_wildcard: true });
                }
            }
            Ok(None) => {}
            Err(error) => told(error),
        }
        match resolver.target_of(&asked).await {
            Ok(target) => {
                assert!(target.as_str().bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)));
            }
            Err(error) => told(error),
        }
        match resolver.zone_of(&asked).await {
            Ok(zone) => assert!(asked.is_within(&zone.name), "{zone:?}"),
            Err(error) => told(error),
        }
        for texts in [resolver.txt(&asked).await.map(|(_, texts)| texts), txt_at(names.addr(), &asked).await] {
            match texts {
                Ok(texts) => assert!(!texts.concat().contains(char::is_control), "{texts:?}"),
                Err(error) => told(error),
            }
        }
    });
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
}

/// Runs a property against one server, which is told anew in each case.
fn check<T: std::fmt::Debug>(strategy: impl Strategy<Value = T>, mut scribe: impl FnMut(&Names, T)) {
    let names = Names::start();
    let mut runner = TestRunner::new(ProptestConfig { cases: CASES, failure_persistence: None, ..Default::default() });
    let names = &names;
    let scribe = std::cell::RefCell::new(&mut scribe);
    let outcome = runner.run(&strategy, |value| {
        scribe.borrow_mut()(names, value);
        look(names);
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn bytes_that_are_no_message_do_no_harm() {
    check(vec(any::<u8>(), 0..1100), |names, bytes| {
        names.set_scribe(move |question: &Message| {
            let mut answer = question.metadata.id.to_be_bytes().to_vec();
            answer.extend(&bytes);
            answer
        });
    });
}

#[test]
fn bytes_after_a_good_header_do_no_harm() {
    check((vec(any::<u8>(), 0..600), any::<[u8; 3]>()), |names, (bytes, counts)| {
        names.set_scribe(move |question: &Message| {
            let mut answer = answer_to(question).to_vec().unwrap();
            // How many records follow in each section.
            for (section, count) in counts.iter().enumerate() {
                answer[7 + 2 * section] = count % 4;
            }
            answer.extend(&bytes);
            answer
        });
    });
}

#[test]
fn odd_names_and_texts_do_no_harm() {
    let code = prop::sample::select(vec![ResponseCode::NoError, ResponseCode::NXDomain]);
    check((vec(data(), 0..6), code, any::<bool>()), |names, (data, code, authoritative)| {
        names.set_scribe(move |question: &Message| {
            let mut answer = answer_to(question);
            answer.metadata.authoritative = authoritative;
            answer.metadata.response_code = code;
            let owner = question.queries[0].name().clone();
            for data in data.iter().filter_map(Data::to_record) {
                answer.add_answer(Record::from_rdata(owner.clone(), 1, data));
            }
            answer.to_vec().unwrap()
        });
    });
}
