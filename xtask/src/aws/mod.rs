//! AWS: clients for an environment, and what their errors mean to a user.

pub mod cfn;
pub mod http;
pub mod logs;
#[cfg(test)]
pub mod stand_in;
pub mod wire;

use std::time::Duration;

use anyhow::Result;
use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::display::DisplayErrorContext;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;

use crate::config::{Cluster, Environment};
use crate::exit::{Exit, Failure};

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

/// Makes the clients of an environment. Asks nobody anything.
pub async fn connect(environment: &Environment) -> Aws {
    let made_up = environment.made_up_credentials.then_some(environment.account.as_str());
    let (profile, url) = (environment.profile.as_deref(), environment.endpoint_url.as_deref());
    clients(&environment.region, profile, url, made_up).await
}

/// Makes the clients for a cluster of another environment. Asks nobody anything.
pub async fn connect_cluster(cluster: &Cluster) -> Aws {
    let made_up = cluster.made_up_credentials.then_some(cluster.account.as_str());
    let (profile, url) = (cluster.profile.as_deref(), cluster.endpoint_url.as_deref());
    clients(&cluster.region, profile, url, made_up).await
}

/// A client for HTTP and HTTPS.
pub fn http_client() -> SharedHttpClient {
    aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https()
}

/// `made_up` is the account that made-up credentials stand for.
async fn clients(
    region: &str,
    profile: Option<&str>,
    endpoint_url: Option<&str>,
    made_up: Option<&str>,
) -> Aws {
    let http = http_client();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .region(Region::new(region.to_owned()))
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
    if let Some(url) = endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    if let Some(account) = made_up {
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
pub fn explain<E, R>(doing: &str, error: &SdkError<E, R>) -> anyhow::Error
where
    E: std::error::Error + ProvideErrorMetadata + 'static,
    R: std::fmt::Debug,
{
    let (exit, text, hint) = match error {
        SdkError::ServiceError(service) => {
            let meta = service.err().meta();
            let code = meta.code().unwrap_or("an error without a code");
            let text = match meta.message() {
                Some(message) => format!("{code}: {message}"),
                None => code.to_owned(),
            };
            let (exit, hint) = advice(doing, code);
            (exit, text, hint)
        }
        SdkError::DispatchFailure(failure) if failure.is_other() || failure.is_user() => (
            Exit::Prerequisite,
            chain(error),
            "there are no usable AWS credentials: sign in (`aws sso login`), or set `profile` in \
             xtask.toml or AWS_PROFILE"
                .to_owned(),
        ),
        SdkError::DispatchFailure(_) | SdkError::TimeoutError(_) => (
            Exit::Prerequisite,
            chain(error),
            "AWS can not be reached: check the network and `region`; for the local environment, \
             `cargo xtask local up`"
                .to_owned(),
        ),
        other => (
            Exit::Unexpected,
            DisplayErrorContext(other).to_string(),
            "if it stays, it is a bug: report it with this line".to_owned(),
        ),
    };
    Failure::new(exit, format!("{doing}: {}", first_line(&text))).hint(hint).into()
}

/// The exit code and the advice for an error code of AWS.
fn advice(doing: &str, code: &str) -> (Exit, String) {
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
        "ThrottlingException" | "Throttling" | "RequestLimitExceeded" => (
            Exit::Unexpected,
            "AWS kept throttling after five tries: wait a minute and run it again".into(),
        ),
        _ => (Exit::Unexpected, "the AWS documentation lists the operation's errors".into()),
    }
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
