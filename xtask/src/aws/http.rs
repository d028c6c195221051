//! Plain HTTP, for health URLs and the emulator, through the client that the SDK has anyway.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime::client::orchestrator::operation::Operation;
use aws_smithy_runtime_api::client::behavior_version::BehaviorVersion;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse, OrchestratorError};
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::timeout::TimeoutConfig;

/// What a URL answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Where it sends on to.
    pub location: Option<String>,
    /// The body.
    pub body: String,
}

impl Answer {
    /// The beginning of the body, on one line.
    pub fn excerpt(&self) -> String {
        let line: Vec<&str> = self.body.split_whitespace().collect();
        line.join(" ").chars().take(300).collect()
    }
}

/// Asks a URL once. Any status is an answer; redirects are not followed.
///
/// # Errors
/// It can not be reached, or does not answer in time.
pub async fn get(
    client: &SharedHttpClient,
    url: &str,
    headers: &BTreeMap<String, String>,
    patience: Duration,
) -> Result<Answer> {
    send(client, "GET", url, headers, patience).await
}

/// Posts nothing to a URL, once.
///
/// # Errors
/// As [`get`].
pub async fn post(client: &SharedHttpClient, url: &str, patience: Duration) -> Result<Answer> {
    send(client, "POST", url, &BTreeMap::new(), patience).await
}

async fn send(
    client: &SharedHttpClient,
    method: &'static str,
    url: &str,
    headers: &BTreeMap<String, String>,
    patience: Duration,
) -> Result<Answer> {
    let headers = headers.clone();
    let (origin, path) = split(url);
    let operation = Operation::builder()
        .service_name("http")
        .operation_name(method)
        .behavior_version(BehaviorVersion::latest())
        .http_client(client.clone())
        .endpoint_url(&origin)
        .no_auth()
        .no_retry()
        .sleep_impl(TokioSleep::new())
        .timeout_config(TimeoutConfig::builder().operation_timeout(patience).build())
        .serializer(move |(): ()| {
            let mut request = HttpRequest::new(SdkBody::empty());
            request.set_method(method)?;
            request.set_uri(path.clone())?;
            for (name, value) in &headers {
                request.headers_mut().try_insert(name.clone(), value.clone())?;
            }
            Ok(request)
        })
        .deserializer::<_, std::convert::Infallible>(|response: &HttpResponse| {
            Ok::<_, OrchestratorError<std::convert::Infallible>>(Answer {
                status: response.status().as_u16(),
                location: response.headers().get("location").map(str::to_owned),
                body: String::from_utf8_lossy(response.body().bytes().unwrap_or_default()).into(),
            })
        })
        .build();
    operation.invoke(()).await.map_err(|error| {
        let text = DisplayErrorContext(&error).to_string();
        anyhow!("{}", text.lines().next().unwrap_or_default())
    })
}

/// The origin of a URL, and its path with the query. The two are sent apart, because an
/// endpoint's path would get a slash at its end.
fn split(url: &str) -> (String, String) {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    let path = url[end..].split('#').next().unwrap_or_default();
    let slash = if path.starts_with('/') { "" } else { "/" };
    (url[..end].to_owned(), format!("{slash}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_split_behind_its_host() {
        let parts = |url| {
            let (origin, path) = split(url);
            format!("{origin} {path}")
        };
        assert_eq!(parts("http://h:1/a/b?c=d#e"), "http://h:1 /a/b?c=d");
        assert_eq!(parts("https://h"), "https://h /");
        assert_eq!(parts("https://h?x=/"), "https://h /?x=/");
    }
}
