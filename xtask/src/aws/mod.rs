//! AWS: clients for an environment, and what their errors mean to a user.

pub mod cfn;
pub mod http;
pub mod iam;
pub mod logs;
mod session;
#[cfg(test)]
pub mod stand_in;
pub mod wire;

use std::time::Duration;

use anyhow::Result;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{SharedCredentialsProvider, error::CredentialsError};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;

pub use session::Session;
use xtask_core::config::{Cluster, Environment};
use xtask_core::exit::{Again, Exit, Failure};

/// The clients of one environment. They share connections and credentials.
#[derive(Clone)]
pub struct Aws {
    /// What raw calls are made with.
    pub config: SdkConfig,
    /// Amazon ECR.
    pub ecr: aws_sdk_ecr::Client,
    /// Amazon ECS.
    pub ecs: aws_sdk_ecs::Client,
    /// Plain HTTP, for health URLs.
    pub http: SharedHttpClient,
}

/// What clients are made from.
#[derive(Clone, Debug)]
struct Recipe {
    region: String,
    profile: Option<String>,
    endpoint_url: Option<String>,
    /// The account that made-up credentials stand for.
    made_up: Option<String>,
}

impl Recipe {
    fn of(environment: &Environment) -> Self {
        Self {
            region: environment.region.clone(),
            profile: environment.profile.clone(),
            endpoint_url: environment.endpoint_url.clone(),
            made_up: environment.made_up_credentials.then(|| environment.account.clone()),
        }
    }

    fn of_cluster(cluster: &Cluster) -> Self {
        Self {
            region: cluster.region.clone(),
            profile: cluster.profile.clone(),
            endpoint_url: cluster.endpoint_url.clone(),
            made_up: cluster.made_up_credentials.then(|| cluster.account.clone()),
        }
    }
}

/// Makes the clients of an environment. Asks nobody anything.
pub async fn connect(environment: &Environment) -> Aws {
    clients(&Recipe::of(environment)).await
}

/// Makes the clients for a cluster of another environment. Asks nobody anything.
pub async fn connect_cluster(cluster: &Cluster) -> Aws {
    clients(&Recipe::of_cluster(cluster)).await
}

/// A client for HTTP and HTTPS.
pub fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

async fn clients(recipe: &Recipe) -> Aws {
    let http = http_client();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(recipe.region.clone()))
        .http_client(http.clone())
        .retry_config(
            // Five tries within four seconds: who waits at a terminal wants to know.
            RetryConfig::standard()
                .with_max_attempts(5)
                .with_initial_backoff(Duration::from_millis(250)),
        )
        .timeout_config(
            TimeoutConfig::builder()
                .connect_timeout(Duration::from_secs(5))
                .operation_attempt_timeout(Duration::from_secs(30))
                .build(),
        );
    if let Some(url) = &recipe.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some(profile) = &recipe.profile {
        loader = loader.profile_name(profile);
    }
    if let Some(account) = &recipe.made_up {
        let made_up = Credentials::new(account, "made-up", None, None, "xtask.toml");
        loader = loader.credentials_provider(SharedCredentialsProvider::new(made_up));
    }
    let config = loader.load().await;
    Aws {
        ecr: aws_sdk_ecr::Client::new(&config),
        ecs: aws_sdk_ecs::Client::new(&config),
        http,
        config,
    }
}

/// What raw calls to another region are made with; `None` stays where it is.
pub fn in_region(config: &SdkConfig, region: Option<&str>) -> SdkConfig {
    match region {
        None => config.clone(),
        Some(region) => config.to_builder().region(Region::new(region.to_owned())).build(),
    }
}

/// The account that the credentials belong to.
///
/// # Errors
/// [`Exit::Prerequisite`]: no credentials, or AWS can not be reached.
pub async fn account(aws: &Aws) -> Result<String> {
    let sts = aws_sdk_sts::Client::new(&aws.config);
    let identity = sts.get_caller_identity().send().await;
    let identity = identity.map_err(|error| explain("sts:GetCallerIdentity", &error))?;
    Ok(identity.account().unwrap_or_default().to_owned())
}

/// Turns an SDK error into one that says what to do.
///
/// `doing` is the call as IAM names it, such as `ecs:UpdateService`.
pub fn explain<E>(doing: &str, error: &SdkError<E, HttpResponse>) -> anyhow::Error
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
{
    let (exit, text, hint, again) = match error {
        SdkError::ServiceError(service) => {
            let meta = service.err().meta();
            let code = meta.code().unwrap_or("an error without a code");
            let text = match meta.message() {
                Some(message) => format!("{code}: {message}"),
                None => code.to_owned(),
            };
            let again = try_again(code, service.raw().status().as_u16());
            let (exit, hint) = advice(doing, code, again);
            (exit, text, hint, again)
        }
        SdkError::DispatchFailure(_) if has_cause::<CredentialsError>(error) => (
            Exit::Prerequisite,
            chain(error),
            "there are no usable AWS credentials: sign in (`aws sso login`), or set `profile` in \
             xtask.toml or AWS_PROFILE"
                .to_owned(),
            Again::WithNewCredentials,
        ),
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => (
            Exit::Prerequisite,
            chain(error),
            "AWS can not be reached: check the network and `region`; for the local environment, \
             `cargo xtask local up`"
                .to_owned(),
            Again::Soon,
        ),
        SdkError::ResponseError(_) => (
            Exit::Unexpected,
            format!("the answer can not be read: {}", chain(error)),
            "is `endpoint-url`, or a proxy on the way, really AWS? else run it again".to_owned(),
            Again::Soon,
        ),
        other => (
            Exit::Unexpected,
            DisplayErrorContext(other).to_string(),
            "if it stays, it is a bug: report it with this line".to_owned(),
            Again::Useless,
        ),
    };
    let text = format!("{doing}: {}", first_line(&text));
    Failure::new(exit, text).hint(hint).again(again).into()
}

/// Whether a call may go well later, by its error code and HTTP status.
fn try_again(code: &str, status: u16) -> Again {
    if code.contains("Throttl") || THROTTLING.contains(&code) || status == 429 {
        Again::Slower
    } else if code.starts_with("ExpiredToken") || EXPIRED.contains(&code) {
        Again::WithNewCredentials
    } else if matches!(status, 500 | 502 | 503 | 504) {
        Again::Soon
    } else {
        Again::Useless
    }
}

/// Codes that ask to call less often, besides those that say so in their name.
///
/// Source: the AWS SDKs and Tools reference guide, "Retry behavior".
const THROTTLING: [&str; 5] = [
    "TooManyRequestsException",
    "RequestLimitExceeded",
    "BandwidthLimitExceeded",
    "ProvisionedThroughputExceededException",
    "SlowDown",
];

/// Codes of credentials that were good and are not any more: expired, or replaced by others.
const EXPIRED: [&str; 3] =
    ["RequestExpired", "UnrecognizedClientException", "InvalidClientTokenId"];

/// The exit code and the advice for an error code of AWS, and whether it may go away.
fn advice(doing: &str, code: &str, again: Again) -> (Exit, String) {
    match code {
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedException" => (
            Exit::Prerequisite,
            format!("allow `{doing}` to this role; aws/README.md has the whole policy"),
        ),
        "ExpiredToken" | "ExpiredTokenException" | "RequestExpired" => {
            (Exit::Prerequisite, "the credentials expired: sign in again".into())
        }
        "UnrecognizedClientException"
        | "InvalidClientTokenId"
        | "InvalidSignatureException"
        | "SignatureDoesNotMatch"
        | "IncompleteSignature" => (
            Exit::Prerequisite,
            "AWS does not know these credentials: check the profile and the keys".into(),
        ),
        "ClusterNotFoundException"
        | "ServiceNotFoundException"
        | "RepositoryNotFoundException"
        | "ServiceNotActiveException" => (
            Exit::Prerequisite,
            "check the name in xtask.toml; `cargo xtask infra deploy` creates the stack".into(),
        ),
        _ if again == Again::Slower => (
            Exit::Unexpected,
            "AWS kept throttling after five tries: wait a minute and run it again".into(),
        ),
        _ if again == Again::Soon => (
            Exit::Unexpected,
            "the fault is on the side of AWS, in five tries: wait a minute and run it again; the AWS \
             Health Dashboard may know more"
                .into(),
        ),
        _ => (Exit::Unexpected, "the AWS documentation lists the operation's errors".into()),
    }
}

/// Whether an error of this type is among the causes.
fn has_cause<T: std::error::Error + 'static>(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(<dyn std::error::Error>::is::<T>)
}

/// An error and its causes, each said once.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        source = cause.source();
    }
    text
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use aws_credential_types::provider::ProvideCredentials;
    use aws_credential_types::provider::future::ProvideCredentials as Answer;

    use super::stand_in::StandIn;
    use super::*;
    use xtask_core::exit::{exit_of, hint_of};

    #[test]
    fn what_may_go_away_by_itself_is_told_apart() {
        for code in ["ThrottlingException", "Throttling", "ThrottledException", "SlowDown"] {
            assert_eq!(try_again(code, 400), Again::Slower, "{code}");
        }
        for code in ["ExpiredTokenException", "ExpiredToken", "RequestExpired"] {
            assert_eq!(try_again(code, 400), Again::WithNewCredentials, "{code}");
        }
        assert_eq!(try_again("ServerException", 500), Again::Soon);
        assert_eq!(try_again("an error without a code", 503), Again::Soon);
        assert_eq!(try_again("NotImplemented", 501), Again::Useless);
        assert_eq!(try_again("AccessDeniedException", 400), Again::Useless);
    }

    #[derive(Debug)]
    struct NoCredentials;

    impl ProvideCredentials for NoCredentials {
        fn provide_credentials<'a>(&'a self) -> Answer<'a>
        where
            Self: 'a,
        {
            Answer::ready(Err(CredentialsError::not_loaded("no profile")))
        }
    }

    /// What is said of a call that fails.
    async fn said(aws: &Aws) -> (Exit, String, String) {
        let error = aws.ecs.list_clusters().send().await.unwrap_err();
        let error = explain("ecs:ListClusters", &error);
        (exit_of(&error), error.to_string(), hint_of(&error).unwrap_or_default().to_owned())
    }

    #[tokio::test]
    async fn a_connection_that_ends_is_not_taken_for_missing_credentials() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                // The whole request: the end of the connection would be a reset otherwise.
                let (mut request, mut piece) = (Vec::new(), [0; 1024]);
                while !request.ends_with(b"{}") {
                    let read = std::io::Read::read(&mut stream, &mut piece).unwrap();
                    request.extend(&piece[..read]);
                }
            }
        });
        let stand_in = StandIn::start(|_, _, _| (200, serde_json::json!({})));
        let config = stand_in.aws().await.config;
        let config = config.into_builder().endpoint_url(url).build();
        let ecs = aws_sdk_ecs::Client::new(&config);
        let error = ecs.list_clusters().send().await.unwrap_err();
        let error = explain("ecs:ListClusters", &error);
        assert_eq!(exit_of(&error), Exit::Prerequisite, "{error:#}");
        assert!(hint_of(&error).unwrap().starts_with("AWS can not be reached"), "{error:#}");
    }

    #[tokio::test]
    async fn missing_credentials_are_told_as_such() {
        let stand_in = StandIn::start(|_, _, _| (200, serde_json::json!({})));
        let mut aws = stand_in.aws().await;
        let none = SharedCredentialsProvider::new(NoCredentials);
        let config = aws.config.into_builder().credentials_provider(none).build();
        aws.ecs = aws_sdk_ecs::Client::new(&config);
        aws.config = config;
        let (exit, text, hint) = said(&aws).await;
        assert_eq!(exit, Exit::Prerequisite, "{text}");
        assert!(hint.starts_with("there are no usable AWS credentials"), "{text}: {hint}");
    }

    #[tokio::test]
    async fn a_fault_of_aws_is_told_from_one_of_ours() {
        let stand_in = StandIn::start(|_, _, _| (503, serde_json::json!({ "__type": "Odd" })));
        let (exit, text, hint) = said(&stand_in.aws().await).await;
        assert_eq!((exit, text.as_str()), (Exit::Unexpected, "ecs:ListClusters: Odd"));
        assert!(hint.starts_with("the fault is on the side of AWS"), "{hint}");
    }
}
