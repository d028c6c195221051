//! Where a service is called, by the same settings as the SDK's own clients.

use aws_types::SdkConfig;
use aws_types::region::Region;
use aws_types::service_config::ServiceConfigKey;

use super::Service;

/// The service's endpoint: the configured one, or that of the region.
///
/// Source: the AWS General Reference, "Service endpoints" and "FIPS endpoints by service"; China's
/// regions have a suffix, IAM has one endpoint a partition, and the endpoints of GovCloud are FIPS
/// endpoints under their plain name, but for two of the services here.
pub(super) fn endpoint(config: &SdkConfig, service: Service, region: &Region) -> String {
    if let Some(url) = configured(config, service) {
        return url;
    }
    let (name, region) = (service.name(), region.as_ref());
    let china = region.starts_with("cn-");
    let gov = region.starts_with("us-gov-");
    let dual_stack = config.use_dual_stack() == Some(true);
    let plain_is_fips =
        gov && !dual_stack && !matches!(service, Service::Ecs | Service::SecretsManager);
    let fips = if config.use_fips() == Some(true) && !plain_is_fips { "-fips" } else { "" };
    let suffix = match (dual_stack && service != Service::Iam, china) {
        (false, false) => "amazonaws.com",
        (false, true) => "amazonaws.com.cn",
        (true, false) => "api.aws",
        (true, true) => "api.amazonwebservices.com.cn",
    };
    match service {
        Service::Iam if china => format!("https://iam.cn-north-1.{suffix}"),
        Service::Iam if gov => format!("https://iam.us-gov.{suffix}"),
        Service::Iam => format!("https://iam{fips}.{suffix}"),
        _ => format!("https://{name}{fips}.{region}.{suffix}"),
    }
}

/// The endpoint that is set: in xtask.toml, else for this service, else for all of them.
///
/// Source: the AWS SDKs and Tools reference guide, "Service-specific endpoints".
fn configured(config: &SdkConfig, service: Service) -> Option<String> {
    let general = config.endpoint_url().map(str::to_owned);
    if config.get_origin("endpoint_url").is_client_config() {
        return general;
    }
    let key = ServiceConfigKey::builder()
        .service_id(service.id())
        .env("AWS_ENDPOINT_URL")
        .profile("endpoint_url")
        .build();
    let own = key.ok().and_then(|key| config.service_config()?.load_config(key));
    own.or(general)
}

#[cfg(test)]
mod tests {
    use aws_config::BehaviorVersion;
    use aws_types::service_config::LoadServiceConfig;

    use super::*;

    fn plain() -> aws_types::sdk_config::Builder {
        SdkConfig::builder().behavior_version(BehaviorVersion::latest())
    }

    fn of(config: &SdkConfig, service: Service, region: &'static str) -> String {
        endpoint(config, service, &Region::from_static(region))
    }

    #[test]
    fn iam_has_one_endpoint_and_one_region_a_partition() {
        for (region, url, signed) in [
            ("eu-central-1", "https://iam.amazonaws.com", "us-east-1"),
            ("cn-northwest-1", "https://iam.cn-north-1.amazonaws.com.cn", "cn-north-1"),
            ("us-gov-east-1", "https://iam.us-gov.amazonaws.com", "us-gov-west-1"),
        ] {
            assert_eq!(of(&plain().build(), Service::Iam, region), url);
            let signing = Service::Iam.signing_region(&Region::from_static(region));
            assert_eq!(signing.as_ref(), signed);
        }
        let url = of(&plain().build(), Service::Ssm, "eu-central-1");
        assert_eq!(url, "https://ssm.eu-central-1.amazonaws.com");
        let signing = Service::Ssm.signing_region(&Region::from_static("eu-central-1"));
        assert_eq!(signing.as_ref(), "eu-central-1");
    }

    #[test]
    fn fips_and_dual_stack_are_asked_for_as_the_sdk_does() {
        let fips = plain().use_fips(true).build();
        let both = plain().use_fips(true).use_dual_stack(true).build();
        for (config, service, region, url) in [
            (&fips, Service::Ecs, "us-east-1", "https://ecs-fips.us-east-1.amazonaws.com"),
            (&fips, Service::Iam, "us-east-1", "https://iam-fips.amazonaws.com"),
            (&fips, Service::Ecs, "us-gov-west-1", "https://ecs-fips.us-gov-west-1.amazonaws.com"),
            (&fips, Service::Ssm, "us-gov-west-1", "https://ssm.us-gov-west-1.amazonaws.com"),
            (&both, Service::Logs, "us-east-1", "https://logs-fips.us-east-1.api.aws"),
        ] {
            assert_eq!(of(config, service, region), url);
        }
        let dual = plain().use_dual_stack(true).build();
        let url = of(&dual, Service::Ssm, "cn-north-1");
        assert_eq!(url, "https://ssm.cn-north-1.api.amazonwebservices.com.cn");
    }

    /// What the environment says of one service.
    #[derive(Debug)]
    struct Own(&'static str);

    impl LoadServiceConfig for Own {
        fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
            assert_eq!((key.env(), key.profile()), ("AWS_ENDPOINT_URL", "endpoint_url"));
            (key.service_id() == self.0).then(|| "http://own".to_owned())
        }
    }

    #[test]
    fn an_endpoint_of_one_service_is_that_of_its_raw_calls_too() {
        let config = plain().service_config(Own("ECS")).build();
        assert_eq!(of(&config, Service::Ecs, "eu-central-1"), "http://own");
        let url = of(&config, Service::Ssm, "eu-central-1");
        assert_eq!(url, "https://ssm.eu-central-1.amazonaws.com");
        let config = plain().service_config(Own("Secrets Manager")).build();
        assert_eq!(of(&config, Service::SecretsManager, "eu-central-1"), "http://own");
    }
}
