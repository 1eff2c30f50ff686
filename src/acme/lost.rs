//! Finds an order whose URL was lost between the request and the journal.

use std::collections::BTreeSet;
use std::time::Duration;

use http::header::HeaderMap;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Status;
use super::account::Signer;
use super::answer::links;
use super::order::Named;
use crate::model::Identifier;

/// Orders that are looked at before giving up: a lost order is a recent one, and a new one costs little.
const ORDERS: usize = 20;

/// Pages of the list that are read: Pebble puts three orders on each.
const PAGES: usize = 10;

/// How long the search may take.
const DEADLINE: Duration = Duration::from_mins(1);

#[derive(Deserialize)]
struct AccountObject {
    orders: String,
}

#[derive(Deserialize)]
struct OrderList {
    orders: Vec<String>,
}

#[derive(Deserialize)]
struct OrderObject {
    status: Status,
    expires: Option<Timestamp>,
    identifiers: Vec<Named>,
}

/// The URL of the order with exactly these names that has come least far, and that was never finalised: this happens only once
/// the URL is journalled, so an order that is further belongs to an earlier certificate. Among equals, that which expires last.
pub(super) async fn find(signer: &Signer, identifiers: &[Identifier]) -> Option<String> {
    tokio::time::timeout(DEADLINE, search(signer, identifiers)).await.ok()?
}

async fn search(signer: &Signer, identifiers: &[Identifier]) -> Option<String> {
    let wanted: BTreeSet<_> = identifiers.iter().collect();
    let mut candidates = Vec::new();
    for url in order_urls(signer).await? {
        let Some((order, _)) = get::<OrderObject>(signer, &url).await else { continue };
        let names: Option<BTreeSet<Identifier>> =
            order.identifiers.iter().map(|name| name.value.parse().ok()).collect();
        if matches!(order.status, Status::Pending | Status::Ready)
            && names.is_some_and(|names| names.iter().collect::<BTreeSet<_>>() == wanted)
        {
            candidates.push((order.status, std::cmp::Reverse(order.expires), url));
        }
    }
    candidates.into_iter().min().map(|(_, _, url)| url)
}

/// The account's newest orders. A list is not sorted by any rule; in practice it grows at its end.
async fn order_urls(signer: &Signer) -> Option<Vec<String>> {
    let (account, _): (AccountObject, _) = get(signer, signer.account.as_deref()?).await?;
    let mut urls = Vec::new();
    let mut page = Some(account.orders);
    for _ in 0..PAGES {
        let Some(url) = page.take() else { break };
        let (list, headers): (OrderList, _) = get(signer, &url).await?;
        urls.extend(list.orders);
        page = links(&headers, "next").into_iter().next();
    }
    let older = urls.len().saturating_sub(ORDERS);
    Some(urls.split_off(older))
}

async fn get<T: DeserializeOwned>(signer: &Signer, url: &str) -> Option<(T, HeaderMap)> {
    let answer = signer.post(url, None).await.ok()?;
    Some((serde_json::from_slice(answer.body()).ok()?, answer.headers().clone()))
}
