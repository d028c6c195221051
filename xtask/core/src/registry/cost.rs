//! What the storage of a repository costs.

use serde::Serialize;

/// US dollars for a gigabyte and month in a private repository, standard storage. The archive
/// costs the same up to 150 TB.
///
/// Source: Amazon ECR pricing, as of March 2026: the same in every region that is billed in US
/// dollars. Transfer, scans and signatures are not in it.
const USD_PER_GB_MONTH: f64 = 0.10;

/// What a repository costs in a month when it stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct MonthlyCost {
    /// All of it, in US dollars.
    pub usd: f64,
    /// What a prune would save of it.
    pub reclaimable_usd: f64,
    /// The price that this was worked out with: US dollars for a gigabyte and month.
    pub usd_per_gb: f64,
}

/// The price of a gigabyte and month in a region, in US dollars. `None` where AWS bills in
/// another currency.
#[must_use]
pub fn price(region: &str) -> Option<f64> {
    (!region.starts_with("cn-")).then_some(USD_PER_GB_MONTH)
}

impl MonthlyCost {
    /// The cost of `bytes`, of which `reclaimable` could go. A gigabyte is 10^9 bytes here; if
    /// AWS counts 2^30, it is 7 % less.
    #[must_use]
    pub fn of(bytes: u64, reclaimable: u64, usd_per_gb: f64) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "it is an estimate")]
        let usd = |bytes: u64| bytes as f64 / 1e9 * usd_per_gb;
        Self { usd: usd(bytes), reclaimable_usd: usd(reclaimable), usd_per_gb }
    }
}

/// An amount for people: `$12.30`, or `less than $0.01`.
#[must_use]
pub fn format_usd(amount: f64) -> String {
    match amount {
        a if a <= 0.0 => "$0".to_owned(),
        a if a < 0.01 => "less than $0.01".to_owned(),
        a => format!("${a:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_dollars() {
        let cost = MonthlyCost::of(25_000_000_000, 1_000_000_000, price("eu-central-1").unwrap());
        assert_eq!(
            (format_usd(cost.usd), format_usd(cost.reclaimable_usd)),
            ("$2.50".into(), "$0.10".into())
        );
        assert_eq!(price("cn-north-1"), None);
        assert_eq!(format_usd(0.000_1), "less than $0.01");
        assert_eq!(format_usd(0.0), "$0");
    }
}
