//! Hosted providers, through the crate `dns-update`.
//!
//! It reads the values at a name, and writes them back with one more or one less where the provider knows no other way. So this
//! process does one change at a time: two at once could lose one of them.

use std::collections::BTreeMap;
use std::time::Duration;

use dns_update::providers::azuredns::{AzureDnsConfig, AzureEnvironment};
use dns_update::providers::bluecatv2::BluecatV2Config;
use dns_update::providers::edgedns::EdgeDnsConfig;
use dns_update::providers::google_cloud_dns::GoogleCloudDnsConfig;
use dns_update::providers::infoblox::InfobloxConfig;
use dns_update::providers::joker::JokerAuth;
use dns_update::providers::lightsail::LightsailConfig;
use dns_update::providers::oraclecloud::OracleCloudConfig;
use dns_update::providers::route53::Route53Config;
use dns_update::providers::volcengine::VolcengineConfig;
use dns_update::providers::yandexcloud::YandexCloudConfig;
use dns_update::{DnsRecord, DnsRecordType, DnsUpdater};
use tokio::sync::Mutex;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::error::About;
use super::secret::{self, Hidden};
use super::{Change, Error, TTL};
use crate::model::{Credential, DnsName, Record};

/// How long one request may take.
const REQUEST_DEADLINE: Duration = Duration::from_secs(20);
/// How long a change may take, which is several requests: for a session, the zone, what is there, the change.
const DEADLINE: Duration = Duration::from_mins(1);
/// Longest part of what a provider said that is repeated, in characters.
const SHOWN: usize = 300;

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// Adds or removes one value.
pub(super) async fn change(
    service: &str,
    credentials: &BTreeMap<String, String>,
    zone: &DnsName,
    change: Change,
    record: &Record,
) -> Result<(), Error> {
    let given = Given::read(service, credentials)?;
    let updater = updater(&given)?;
    let changing = async {
        let _turn = ONE_AT_A_TIME.lock().await;
        let (name, zone) = (record.name.as_str(), zone.as_str());
        let records = vec![DnsRecord::TXT(record.value.to_string())];
        match change {
            Change::Add => updater.add_to_rrset(name, DnsRecordType::TXT, TTL, records, zone).await,
            Change::Remove => match updater.remove_from_rrset(name, DnsRecordType::TXT, records, zone).await {
                // Where there is nothing, there is nothing to remove.
                Err(dns_update::Error::NotFound) => Ok(()),
                outcome => outcome,
            },
        }
    };
    match timeout(DEADLINE, changing).await {
        Ok(outcome) => outcome.map_err(|error| given.failed(&error)),
        Err(_) => Err(Error::HostedSilent { service: service.to_owned(), waited: DEADLINE }),
    }
}

/// Checks that there is everything that the provider asks for; it is not asked.
pub(super) fn check(service: &str, credentials: &BTreeMap<String, String>) -> Result<(), Error> {
    updater(&Given::read(service, credentials)?).map(drop)
}

/// The credentials themselves.
struct Given<'a> {
    service: &'a str,
    /// By key, without its `_file`.
    values: BTreeMap<&'a str, Zeroizing<String>>,
    hidden: Hidden,
}

impl<'a> Given<'a> {
    fn read(service: &'a str, credentials: &'a BTreeMap<String, String>) -> Result<Self, Error> {
        let (mut values, mut hidden) = (BTreeMap::new(), Hidden::default());
        for (key, given) in credentials {
            let value = if Credential::is_secret(key) {
                let secret = secret::read(given.as_ref())?;
                hidden.add(&secret);
                secret
            } else {
                Zeroizing::new(given.clone())
            };
            values.insert(key.strip_suffix("_file").unwrap_or(key), value);
        }
        Ok(Self { service, values, hidden })
    }

    fn may(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(|value| value.as_str())
    }

    fn owned(&self, key: &str) -> Option<String> {
        self.may(key).map(str::to_owned)
    }

    /// What the configuration has made sure of.
    fn need(&self, key: &str) -> Result<&str, dns_update::Error> {
        self.may(key).ok_or_else(|| dns_update::Error::Client(format!("`{key}` is missing in its credentials")))
    }

    fn needed(&self, key: &str) -> Result<String, dns_update::Error> {
        self.need(key).map(str::to_owned)
    }

    fn failed(&self, error: &dns_update::Error) -> Error {
        let (text, about) = match error {
            dns_update::Error::Unauthorized => ("it does not know us (status 401)", About::Credentials),
            dns_update::Error::NotFound => ("it has no such zone (status 404)", About::Zone),
            dns_update::Error::BadRequest => ("it did not understand the request (status 400)", About::Other),
            dns_update::Error::InvalidRegion => ("the region is no name of a region", About::Other),
            dns_update::Error::Protocol(text)
            | dns_update::Error::Parse(text)
            | dns_update::Error::Client(text)
            | dns_update::Error::Response(text)
            | dns_update::Error::Api(text)
            | dns_update::Error::Serialize(text)
            | dns_update::Error::Unsupported(text) => {
                let about = if text.contains("HTTP 403") { About::Credentials } else { About::Other };
                (text.as_str(), about)
            }
            _ => ("it failed", About::Other),
        };
        let service = self.service.to_owned();
        let reason: String = self.hidden.mask(text).chars().filter(|char| !char.is_control()).take(SHOWN).collect();
        match unreachable(&reason) {
            Some(at) => Error::HostedUnreachable { service, at },
            None => Error::Hosted { service, reason, about },
        }
    }

    /// The same, before anybody was asked.
    fn unusable(&self, error: &dns_update::Error) -> Error {
        match self.failed(error) {
            Error::Hosted { service, reason, .. } => Error::Credentials { service, reason },
            other => other,
        }
    }
}

fn updater(given: &Given<'_>) -> Result<DnsUpdater, Error> {
    for key in ["endpoint", "base_url", "server_url"] {
        // The name of one of several places is no URL.
        let is_url = |value: &str| value.starts_with("http://") || value.starts_with("https://");
        if given.may(key).is_some_and(|value| !is_url(value) && (key != "endpoint" || given.service == "pdns")) {
            let reason = format!("`{key}` is no URL, such as https://dns.example.org");
            return Err(Error::Credentials { service: given.service.to_owned(), reason });
        }
    }
    build(given).map_err(|error| given.unusable(&error))
}

/// Where a provider was asked that could not be reached, as the library tells it: scheme, host and port.
fn unreachable(told: &str) -> Option<String> {
    let url = told.strip_prefix("Failed to send request to ")?.split_once(": error sending request")?.0;
    let (scheme, rest) = url.split_once("://")?;
    Some(format!("{scheme}://{}", rest.split(['/', '?']).next()?))
}

/// The client of a provider.
#[expect(clippy::too_many_lines, reason = "one line for each provider")]
fn build(given: &Given<'_>) -> Result<DnsUpdater, dns_update::Error> {
    use DnsUpdater as U;
    let wait = Some(REQUEST_DEADLINE);
    let (need, may) = (|key| given.need(key), |key| given.may(key));
    let (needed, owned) = (|key| given.needed(key), |key| given.owned(key));
    match given.service {
        "alidns" => U::new_alidns(
            need("access_key_id")?,
            need("access_key_secret")?,
            may("region"),
            may("security_token"),
            may("line"),
            wait,
        ),
        "arvancloud" => U::new_arvancloud(need("api_key")?, wait),
        "autodns" => {
            let context = may("context").map(str::parse).transpose();
            let context = context.map_err(|_| dns_update::Error::Client("`context` is no number".to_owned()))?;
            U::new_autodns(need("username")?, need("password")?, context, wait)
        }
        "azuredns" => U::new_azuredns(AzureDnsConfig {
            tenant_id: needed("tenant_id")?,
            client_id: needed("client_id")?,
            client_secret: needed("client_secret")?,
            subscription_id: needed("subscription_id")?,
            resource_group: needed("resource_group")?,
            environment: match may("environment") {
                None | Some("public") => AzureEnvironment::Public,
                Some("china") => AzureEnvironment::China,
                Some("usgovernment") => AzureEnvironment::UsGovernment,
                Some(_) => {
                    let what = "`environment` is none of public, china and usgovernment";
                    return Err(dns_update::Error::Client(what.to_owned()));
                }
            },
            request_timeout: wait,
        }),
        "baiducloud" => U::new_baiducloud(need("access_key_id")?, need("secret_access_key")?, wait),
        "bluecatv2" => U::new_bluecatv2(BluecatV2Config {
            server_url: needed("server_url")?,
            username: needed("username")?,
            password: needed("password")?,
            config_name: needed("config_name")?,
            view_name: needed("view_name")?,
            skip_deploy: false,
            request_timeout: wait,
        }),
        "bunny" => U::new_bunny(need("api_key")?, wait),
        "cloudflare" => U::new_cloudflare(need("api_token")?, wait),
        "cloudns" => U::new_cloudns(may("auth_id"), may("sub_auth_id"), need("auth_password")?, wait),
        "constellix" => U::new_constellix(need("api_key")?, need("secret_key")?, wait),
        "cpanel" => U::new_cpanel(need("base_url")?, need("username")?, need("token")?, wait),
        "desec" => U::new_desec(need("token")?, wait),
        "digitalocean" => U::new_digitalocean(need("auth_token")?, wait),
        "dnsimple" => U::new_dnsimple(need("oauth_token")?, need("account_id")?, wait),
        "dnsmadeeasy" => U::new_dnsmadeeasy(need("api_key")?, need("api_secret")?, wait),
        "domeneshop" => U::new_domeneshop(need("api_token")?, need("api_secret")?, wait),
        "dreamhost" => U::new_dreamhost(need("api_key")?, wait),
        "dynu" => U::new_dynu(need("api_key")?, wait),
        "easydns" => U::new_easydns(need("token")?, need("key")?, wait),
        "edgedns" => U::new_edgedns(EdgeDnsConfig {
            host: needed("host")?,
            client_token: needed("client_token")?,
            client_secret: needed("client_secret")?,
            access_token: needed("access_token")?,
            account_switch_key: owned("account_switch_key"),
            request_timeout: wait,
        }),
        "exoscale" => U::new_exoscale(need("api_key")?, need("api_secret")?, wait),
        "gandiv5" => U::new_gandiv5(need("personal_access_token")?, wait),
        "gcloud" => U::new_google_cloud_dns(GoogleCloudDnsConfig {
            service_account_json: needed("service_account")?,
            project_id: needed("project")?,
            managed_zone: owned("managed_zone"),
            private_zone: false,
            impersonate_service_account: owned("impersonate_service_account"),
            request_timeout: wait,
        }),
        "gcore" => U::new_gcore(need("api_token")?, wait),
        "glesys" => U::new_glesys(need("api_user")?, need("api_key")?, wait),
        "godaddy" => U::new_godaddy(need("api_key")?, need("api_secret")?, wait),
        "hetzner" => U::new_hetzner(need("api_token")?, wait),
        "hostingde" => U::new_hostingde(need("api_key")?, wait),
        "hostinger" => U::new_hostinger(need("api_token")?, wait),
        "huaweicloud" => U::new_huaweicloud(need("access_key_id")?, need("secret_access_key")?, need("region")?, wait),
        "ibmcloud" => U::new_ibmcloud(need("username")?, need("api_key")?, wait),
        "infoblox" => U::new_infoblox(InfobloxConfig {
            host: needed("host")?,
            port: owned("port"),
            username: needed("username")?,
            password: needed("password")?,
            wapi_version: owned("wapi_version"),
            dns_view: owned("dns_view"),
            request_timeout: wait,
        }),
        "infomaniak" => U::new_infomaniak(need("access_token")?, wait),
        "inwx" => U::new_inwx(need("username")?, need("password")?, false, wait),
        "ionos" => U::new_ionos(need("api_key")?, wait),
        "ipv64" => U::new_ipv64(need("api_key")?, wait),
        "joker" => {
            let auth = match may("api_key") {
                Some(key) => JokerAuth::api_key(key),
                None => JokerAuth::username_password(need("username")?, need("password")?),
            };
            U::new_joker(auth, wait)
        }
        "lightsail" => U::new_lightsail(LightsailConfig {
            access_key_id: needed("access_key_id")?,
            secret_access_key: needed("secret_access_key")?,
            session_token: owned("session_token"),
            region: owned("region"),
            domain: owned("domain"),
            request_timeout: wait,
        }),
        "linode" => U::new_linode(need("token")?, wait),
        "luadns" => U::new_luadns(need("api_username")?, need("api_token")?, wait),
        "mythicbeasts" => U::new_mythicbeasts(need("username")?, need("password")?, wait),
        "namecheap" => U::new_namecheap(need("api_user")?, need("api_key")?, need("client_ip")?, may("username"), wait),
        "namedotcom" => U::new_namedotcom(need("username")?, need("api_token")?, wait),
        "namesilo" => U::new_namesilo(need("api_key")?, wait),
        "netcup" => U::new_netcup(need("customer_number")?, need("api_key")?, need("api_password")?, wait),
        "netlify" => U::new_netlify(need("access_token")?, wait),
        "nifcloud" => U::new_nifcloud(need("access_key_id")?, need("secret_access_key")?, wait),
        "ns1" => U::new_ns1(need("api_key")?, wait),
        "oraclecloud" => U::new_oraclecloud(OracleCloudConfig {
            tenancy_ocid: needed("tenancy_ocid")?,
            user_ocid: needed("user_ocid")?,
            fingerprint: needed("fingerprint")?,
            private_key_pem: needed("private_key")?,
            private_key_password: owned("private_key_password"),
            region: needed("region")?,
            compartment_ocid: needed("compartment_ocid")?,
            request_timeout: wait,
        }),
        "ovh" => U::new_ovh(
            need("application_key")?,
            need("application_secret")?,
            need("consumer_key")?,
            need("endpoint")?.parse()?,
            wait,
        ),
        "pdns" => U::new_pdns(need("api_key")?, may("endpoint"), may("server_name"), wait),
        "plesk" => U::new_plesk(need("base_url")?, need("api_key")?, wait),
        "porkbun" => U::new_porkbun(need("api_key")?, need("secret_api_key")?, wait),
        "route53" => U::new_route53(Route53Config {
            access_key_id: needed("access_key_id")?,
            secret_access_key: needed("secret_access_key")?,
            session_token: owned("session_token"),
            region: owned("region"),
            hosted_zone_id: owned("hosted_zone_id"),
            private_zone_only: None,
            endpoint: None,
        }),
        "safedns" => U::new_safedns(need("auth_token")?, wait),
        "scaleway" => U::new_scaleway(need("api_token")?, wait),
        "selectel" => {
            let (account, project) = (need("account_id")?, need("project_id")?);
            U::new_selectel(need("username")?, need("password")?, account, project, wait)
        }
        "simplycom" => U::new_simplycom(need("account_name")?, need("api_key")?, wait),
        "spaceship" => U::new_spaceship(need("api_key")?, need("api_secret")?, wait),
        "tencentcloud" => {
            U::new_tencentcloud(need("secret_id")?, need("secret_key")?, may("region"), may("session_token"), wait)
        }
        "transip" => U::new_transip(need("login")?, need("private_key")?, false, wait),
        "ultradns" => U::new_ultradns(need("username")?, need("password")?, owned("endpoint"), wait),
        "vercel" => U::new_vercel(need("auth_token")?, may("team_id"), wait),
        "volcengine" => U::new_volcengine(VolcengineConfig {
            access_key: needed("access_key_id")?,
            secret_key: needed("secret_access_key")?,
            region: owned("region"),
            host: None,
            scheme: None,
            request_timeout: wait,
        }),
        "vultr" => U::new_vultr(need("api_key")?, wait),
        "websupport" => U::new_websupport(need("api_key")?, need("secret")?, wait),
        "yandexcloud" => U::new_yandexcloud(YandexCloudConfig {
            iam_token_b64: needed("iam_token")?,
            folder_id: needed("folder_id")?,
            request_timeout: wait,
        }),
        "zoneeu" => U::new_zoneeu(need("username")?, need("api_key")?, wait),
        unknown => Err(dns_update::Error::Client(format!("{unknown} is not known"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::HOSTED;

    /// What the configuration asks for is what the client of the provider wants: whatever it still finds wrong with these values, it
    /// finds nothing missing.
    #[test]
    fn each_provider_gets_what_it_asks_for() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("secret");
        std::fs::write(&file, "c2VjcmV0").unwrap();
        for (service, _) in HOSTED {
            let mut wanted = Credential::of(service).unwrap();
            // These take one of two.
            if ["cloudns", "joker"].contains(&service) {
                for credential in &mut wanted {
                    credential.is_required = true;
                }
            }
            let given = wanted.iter().filter(|credential| credential.is_required).map(|credential| {
                let secret = Credential::is_secret(credential.key);
                let plain = if credential.key.ends_with("_url") { "https://a.test" } else { "ovh-eu" };
                let value = if secret { file.to_str().unwrap() } else { plain }.to_owned();
                (credential.key.to_owned(), value)
            });
            if let Err(error) = check(service, &given.collect()) {
                let told = error.to_string();
                assert!(["gcloud", "oraclecloud", "transip", "yandexcloud"].contains(&service), "{told}");
                assert!(!told.contains("missing in") && !told.contains("c2VjcmV0"), "{told}");
            }
        }
    }
}
