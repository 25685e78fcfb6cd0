//! Whether a user of Redis may do all that is asked of it, found out before anybody asks.

use std::collections::BTreeSet;

use super::{Codec, Command, Garbled, Moment, Told, Value, script};

/// All that has to be allowed, by the names in an ACL. `keys` is none: it stands for the keys of the namespace.
const NEEDED: [&str; 41] = [
    "append",
    "del",
    "eval",
    "evalsha",
    "exists",
    "get",
    "getrange",
    "hdel",
    "hexists",
    "hget",
    "hgetall",
    "hincrby",
    "hkeys",
    "hlen",
    "hmget",
    "hset",
    "hstrlen",
    "info",
    "keys",
    "pexpire",
    "ping",
    "pttl",
    "select",
    "set",
    "setrange",
    "strlen",
    "time",
    "unlink",
    "zadd",
    "zcard",
    "zcount",
    "zincrby",
    "zpopmin",
    "zrandmember",
    "zrange",
    "zrangebyscore",
    "zrem",
    "zremrangebyrank",
    "zremrangebyscore",
    "zrevrange",
    "zscore",
];

/// What a user may not do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forbidden(BTreeSet<&'static str>);

impl Forbidden {
    /// One that was tried by itself. What is not needed is not noted.
    pub fn note(&mut self, command: &str) {
        self.0.extend(NEEDED.into_iter().find(|needed| *needed == command));
    }

    pub fn join(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// In the order of the alphabet; `keys` where it is the namespace's keys.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied()
    }

    /// Whether the store can be used all the same: only how much memory Redis has is not known then.
    pub fn is_bearable(&self) -> bool {
        self.0.iter().all(|command| *command == "info")
    }
}

/// What to give a user: `~weir:{namespace}:* -@all +append …`.
pub fn acl(namespace: &str) -> String {
    let commands = NEEDED.into_iter().filter(|name| *name != "keys").map(|name| format!(" +{name}"));
    format!("~weir:{{{namespace}}}:* -@all{}", commands.collect::<String>())
}

impl Codec {
    /// Tries every command that scripts run.
    pub fn trial(&self, moment: Moment) -> Command {
        let mut command = self.command(script::TRIAL, moment);
        for kind in ["trial:text", "trial:hash", "trial:set"] {
            command.key(self.keys.alone(kind));
        }
        command
    }

    /// What the reply to [`Self::trial`] says.
    pub fn tried(&self, command: &Command, value: Value) -> Result<Told<Forbidden>, Garbled> {
        let mut reply = command.reader(value)?;
        let mut forbidden = Forbidden::default();
        for name in reply.texts()? {
            forbidden.note(&name);
        }
        reply.told(forbidden)
    }
}

#[cfg(test)]
mod tests {
    use super::super::script::ALL;
    use super::*;

    /// What scripts run beside the words of their commands.
    const OPTIONS: [&str; 2] = ["LIMIT", "WITHSCORES"];

    #[test]
    fn all_that_scripts_run_is_tried() {
        let quoted = |source: &'static str| source.split('\'').skip(1).step_by(2);
        let is_command = |word: &&str| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        let scripts = ALL.iter().filter(|script| script.name != "trial");
        let commands: BTreeSet<&str> =
            scripts.flat_map(|script| quoted(script.source)).filter(is_command).collect();
        let tried: BTreeSet<&str> = quoted(script::TRIAL.source).filter(is_command).collect();
        for command in commands.iter().filter(|command| !OPTIONS.contains(command)) {
            assert!(tried.contains(command), "{command} is not tried");
            assert!(NEEDED.contains(&&*command.to_lowercase()), "{command} is not needed");
        }
        let shells = ["eval", "evalsha", "keys", "ping", "select"];
        for needed in NEEDED.into_iter().filter(|needed| !shells.contains(needed)) {
            assert!(commands.contains(&*needed.to_uppercase()), "nothing runs {needed}");
        }
    }
}
