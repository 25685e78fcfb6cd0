//! What `GET /metrics` shows, the same in every shell.

use super::breakers;
use crate::config::Config;
use crate::platform::Platform;
use crate::store::protocol::StoreLost;
use crate::telemetry::metrics;

/// What has been counted and how breakers stand, in the text form of OpenMetrics. Whoever asks how they stand may change
/// what is counted, so that is read first. Without a store breakers are left out.
pub(crate) async fn answer<P: Platform>(platform: &P, config: &Config) -> Result<String, StoreLost> {
    let mut shown = platform.counted().await?;
    if let Ok(listing) = breakers::read(platform, config).await {
        metrics::breakers(&config.upstreams, &listing, &mut shown);
    }
    Ok(shown.to_string())
}
