//! Finds an order whose URL was lost between the request and the journal.

use std::collections::BTreeSet;

use http::header::{HeaderMap, LINK};
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::Status;
use super::account::Signer;
use crate::model::Identifier;

/// Orders that are looked at before giving up: a lost order is a recent one, and a new one costs little.
const ORDERS: usize = 20;

/// Pages of the list that are read: Pebble puts three orders on each.
const PAGES: usize = 10;

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

#[derive(Deserialize)]
struct Named {
    value: String,
}

/// The URL of the order with exactly these names that has come least far, and that was never finalised: this happens only once
/// the URL is journalled, so an order that is further belongs to an earlier certificate. Among equals, that which expires last.
pub(super) async fn find(signer: &Signer, identifiers: &[Identifier]) -> Option<String> {
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
        page = next_page(&headers);
    }
    let older = urls.len().saturating_sub(ORDERS);
    Some(urls.split_off(older))
}

async fn get<T: DeserializeOwned>(signer: &Signer, url: &str) -> Option<(T, HeaderMap)> {
    let answer = signer.post(url, None).await.ok()?;
    Some((serde_json::from_slice(answer.body()).ok()?, answer.headers().clone()))
}

/// The target of `Link: <…>;rel="next"` (RFC 8288).
fn next_page(headers: &HeaderMap) -> Option<String> {
    headers.get_all(LINK).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).find_map(
        |link| {
            let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
            let next = parameters.split(';').any(|parameter| matches!(parameter.trim(), "rel=\"next\"" | "rel=next"));
            next.then(|| target.to_owned())
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_is_found_among_other_links() {
        let mut headers = HeaderMap::new();
        headers.append(LINK, "<https://ca.test/dir>;rel=\"index\"".parse().unwrap());
        assert_eq!(next_page(&headers), None);
        headers.append(LINK, "<https://ca.test/a>; rel=\"up\", <https://ca.test/b>; rel=\"next\"".parse().unwrap());
        assert_eq!(next_page(&headers).as_deref(), Some("https://ca.test/b"));
    }
}
