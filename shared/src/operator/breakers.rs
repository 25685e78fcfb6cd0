//! How breakers stand, for whoever looks at `/ready` or `/metrics`.

use std::time::Duration;

use crate::config::Config;
use crate::platform::Platform;
use crate::routing::breaker::control::Listing;
use crate::store::protocol::StoreLost;
use crate::store::readings::Next;

/// Between two looks at whether a reading has come.
const PAUSE: Duration = Duration::from_millis(20);

/// The breakers of all upstreams and those that are not closed, as the store has them now or had them a moment ago.
pub(super) async fn read<P: Platform>(platform: &P, config: &Config) -> Result<Listing, StoreLost> {
    let names: Vec<String> = config.upstreams.iter().map(|upstream| upstream.name.clone()).collect();
    let Some(readings) = platform.readings() else { return platform.breakers(&names).await };
    loop {
        match readings.next(platform.now()) {
            Next::Read => {
                let read = platform.breakers(&names).await;
                readings.note(read.clone());
                return read;
            }
            Next::Known(last) => return last,
            // Many ask at once, for the first time.
            Next::Wait => platform.sleep(PAUSE).await,
        }
    }
}
