//! Why Redis does not do as it is asked, by its own words.

/// What an error of Redis means. Its words are not passed on: they may quote what was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    WrongCredentials,
    NoCredentials,
    /// The user may not run a command, or not touch a key.
    Forbidden,
    ReadOnly,
    Full,
    TooFewReplicas,
    /// It cannot write to its disk.
    Disk,
    Loading,
    Busy,
    Moved,
}

impl Cause {
    /// `None` where the words say none of it.
    pub fn of(error: &str) -> Option<Self> {
        const SIGNS: [(&str, Cause); 16] = [
            ("WRONGPASS", Cause::WrongCredentials),
            ("invalid username-password", Cause::WrongCredentials),
            ("AuthenticationFailed", Cause::WrongCredentials),
            ("authentication failed", Cause::WrongCredentials),
            ("NOAUTH", Cause::NoCredentials),
            ("NOPERM", Cause::Forbidden),
            ("ACL failure", Cause::Forbidden),
            ("The user executing the script can't", Cause::Forbidden),
            ("has no permissions", Cause::Forbidden),
            ("READONLY", Cause::ReadOnly),
            ("OOM", Cause::Full),
            ("NOREPLICAS", Cause::TooFewReplicas),
            ("MISCONF", Cause::Disk),
            ("LOADING", Cause::Loading),
            ("BUSY", Cause::Busy),
            ("MOVED", Cause::Moved),
        ];
        SIGNS.into_iter().find(|(sign, _)| error.contains(sign)).map(|(_, cause)| cause)
    }

    /// A sentence's end: "the store is lost: …".
    pub const fn why(self) -> &'static str {
        match self {
            Self::WrongCredentials => "Redis does not know this user with this password",
            Self::NoCredentials => "Redis wants a password, and none is given",
            Self::Forbidden => "Redis does not let this user do what is needed",
            Self::ReadOnly => "Redis takes no writes: it is a replica",
            Self::Full => "Redis takes no writes: maxmemory is reached",
            Self::TooFewReplicas => "Redis takes no writes: too few replicas follow it",
            Self::Disk => "Redis takes no writes: it cannot save to its disk",
            Self::Loading => "Redis is still loading its data",
            Self::Busy => "Redis is busy with another script",
            Self::Moved => "the keys are on another node of the cluster",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_apart_by_what_redis_says() {
        for (said, cause) in [
            ("WRONGPASS invalid username-password pair or user is disabled.", Some(Cause::WrongCredentials)),
            ("NOAUTH Authentication required.", Some(Cause::NoCredentials)),
            ("NOPERM this user has no permissions to run the 'ping' command", Some(Cause::Forbidden)),
            (
                "ERR The user executing the script can't run this command or subcommand script: 8287",
                Some(Cause::Forbidden),
            ),
            ("NOPERM ACL failure in script: User w has no permissions to run 'zadd'", Some(Cause::Forbidden)),
            ("READONLY You can't write against a read only replica.", Some(Cause::ReadOnly)),
            ("OOM command not allowed when used memory > 'maxmemory'.", Some(Cause::Full)),
            ("WRONGTYPE Operation against a key holding the wrong kind of value", None),
        ] {
            assert_eq!(Cause::of(said), cause, "{said}");
        }
    }
}
