//! What is done by the clock: another document is looked for, and the log says how the breakers stand.

use worker::{Env, ScheduleContext, ScheduledEvent, event};

use crate::isolate::Isolate;
use crate::log;
use crate::objects::Objects;

#[event(scheduled)]
async fn scheduled(_: ScheduledEvent, env: Env, _: ScheduleContext) {
    let isolate = Isolate::here();
    isolate.look(&env).await;
    match isolate.config(&env).await {
        Ok(config) => log::breakers(Objects::new(&env, &config).breakers(&[], &config).await),
        Err(why) => log::unconfigured(&why),
    }
}
