//! Rate limits: how far replicas may move within a period.
//!
//! A policy counts from the replicas at its period's start, which is today's less what was added and plus what was
//! removed since. So a move up and back down within a period uses up nothing.

use std::time::Duration;

use crate::spec::{Change, Policy, Rules, Select};

/// What was added and what was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Moves {
    pub(crate) added: Events,
    pub(crate) removed: Events,
}

/// Moves of one direction. One too old for that direction's policies is written over, at most one in a step.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Events(pub(crate) Vec<Event>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) at: Duration,
    pub(crate) pods: u32,
}

impl Events {
    /// Pods moved within the last `period`, an event of its very age not counted.
    pub(crate) fn within(&self, period: Duration, now: Duration) -> i64 {
        let recent = self.0.iter().filter(|event| now.saturating_sub(event.at) < period);
        recent.map(|event| i64::from(event.pods)).sum()
    }

    pub(crate) fn store(&mut self, event: Event, rules: &Rules) {
        let longest = rules.policies.iter().map(|policy| policy.period).max().unwrap_or_default();
        match self.0.iter_mut().rev().find(|old| event.at.saturating_sub(old.at) > longest) {
            Some(old) => *old = event,
            None => self.0.push(event),
        }
    }
}

impl Moves {
    /// The most replicas that `rules` allow, never fewer than there are.
    pub(crate) fn ceiling(&self, current: u32, rules: &Rules, now: Duration) -> u32 {
        let limits = rules.policies.iter().map(|policy| {
            let start = self.at_start(current, *policy, now);
            match policy.change {
                Change::Pods(pods) => start.saturating_add(i64::from(pods)),
                Change::Percent(percent) => scaled(start, 1.0 + f64::from(percent) / 100.0, f64::ceil),
            }
        });
        let limit = match rules.select {
            Select::Disabled => None,
            Select::Min => limits.min(),
            Select::Max => limits.max(),
        };
        bounded(limit.unwrap_or_default()).max(current)
    }

    /// The fewest replicas that `rules` allow, never more than there are.
    pub(crate) fn floor(&self, current: u32, rules: &Rules, now: Duration) -> u32 {
        let limits = rules.policies.iter().map(|policy| {
            let start = self.at_start(current, *policy, now);
            match policy.change {
                Change::Pods(pods) => start.saturating_sub(i64::from(pods)),
                Change::Percent(percent) => scaled(start, 1.0 - f64::from(percent) / 100.0, f64::trunc),
            }
        });
        let limit = match rules.select {
            Select::Disabled => None,
            Select::Min => limits.max(),
            Select::Max => limits.min(),
        };
        limit.map_or(current, bounded).min(current)
    }

    fn at_start(&self, current: u32, Policy { period, .. }: Policy, now: Duration) -> i64 {
        i64::from(current) - self.added.within(period, now) + self.removed.within(period, now)
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "Kubernetes reckons in doubles, and so does this, to agree; the result saturates"
)]
fn scaled(start: i64, factor: f64, round: fn(f64) -> f64) -> i64 {
    round(start as f64 * factor) as i64
}

fn bounded(replicas: i64) -> u32 {
    u32::try_from(replicas.max(0)).unwrap_or(u32::MAX)
}
