//! Stands for hosted providers in a build without the feature `hosted-dns`.

use std::collections::BTreeMap;

use super::{Change, Error};
use crate::model::{DnsName, Record};

pub(super) async fn change(
    service: &str,
    credentials: &BTreeMap<String, String>,
    _zone: &DnsName,
    _change: Change,
    _record: &Record,
) -> Result<(), Error> {
    check(service, credentials)
}

pub(super) fn check(service: &str, _credentials: &BTreeMap<String, String>) -> Result<(), Error> {
    Err(Error::NotBuilt { service: service.to_owned() })
}
