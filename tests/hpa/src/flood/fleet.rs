//! The pods: made, started, ready, removed.

use super::{Assumptions, instant, seconds};
use crate::observation::{Container, Phase, Pod, Readiness};

/// The pods that there are, oldest first.
#[derive(Debug)]
pub(super) struct Fleet {
    members: Vec<Member>,
    /// Numbers the pods, none twice.
    made: u32,
    /// Pods that the nodes have room for, those that were added included.
    room: u32,
}

#[derive(Clone, Copy, Debug)]
struct Member {
    number: u32,
    /// When it is scheduled to a node.
    scheduled: usize,
    running: usize,
    ready: usize,
}

impl Member {
    fn name(self) -> String {
        format!("pod-{}", self.number)
    }
}

impl Fleet {
    /// Pods that have been ready from the beginning.
    pub(super) fn with(pods: u32) -> Self {
        let member = |number| Member { number, scheduled: 0, running: 0, ready: 0 };
        Self { members: (0..pods).map(member).collect(), made: pods, room: pods }
    }

    pub(super) fn wanted(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn ready(&self, second: usize) -> u32 {
        let ready = self.members.iter().filter(|member| member.ready <= second).count();
        u32::try_from(ready).unwrap_or(u32::MAX)
    }

    fn scheduled(&self, second: usize) -> u32 {
        let scheduled = self.members.iter().filter(|member| member.scheduled <= second).count();
        u32::try_from(scheduled).unwrap_or(u32::MAX)
    }

    /// Each pod's name, and when it is ready.
    pub(super) fn ready_times(&self) -> impl Iterator<Item = (String, usize)> {
        self.members.iter().map(|member| (member.name(), member.ready))
    }

    /// Adds pods, or removes them: the one that would be ready last goes first, as of a `ReplicaSet`.
    pub(super) fn scale(&mut self, replicas: u32, second: usize, assumptions: &Assumptions) {
        let Assumptions { start, probe, room, node, .. } = assumptions;
        self.room = self.room.max(*room).max(self.scheduled(second));
        while self.wanted() < replicas {
            let waits = if self.wanted() < self.room { 0 } else { seconds(*node) };
            let scheduled = second + waits;
            let running = scheduled + seconds(*start);
            let ready = running + seconds(*probe);
            self.members.push(Member { number: self.made, scheduled, running, ready });
            self.made += 1;
        }
        while self.wanted() > replicas {
            let last =
                self.members.iter().enumerate().max_by_key(|(_, member)| (member.ready, member.number));
            let Some((index, _)) = last else { return };
            self.members.remove(index);
        }
    }

    /// As the API server shows them.
    pub(super) fn pods(&self, second: usize, assumptions: &Assumptions) -> Vec<Pod> {
        self.members.iter().map(|member| pod(*member, second, assumptions)).collect()
    }
}

fn pod(member: Member, second: usize, assumptions: &Assumptions) -> Pod {
    let Member { scheduled, running, ready, .. } = member;
    let container = Container {
        name: "gateway".to_owned(),
        cpu: Some(assumptions.cpu_request),
        memory: Some(assumptions.memory_request),
    };
    let readiness = if ready <= second {
        Readiness { ready: true, since: instant(ready) }
    } else {
        Readiness { ready: false, since: instant(scheduled) }
    };
    Pod {
        name: member.name(),
        phase: if running <= second { Phase::Running } else { Phase::Pending },
        deleting: false,
        started: (scheduled <= second).then(|| instant(scheduled)),
        readiness: Some(readiness),
        containers: vec![container],
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn ready_times(fleet: &Fleet) -> Vec<usize> {
        fleet.ready_times().map(|(_, ready)| ready).collect()
    }

    #[test]
    fn a_pod_starts_is_probed_and_counts_from_then_on() {
        let assumptions = Assumptions { probe: Duration::from_secs(10), ..Assumptions::default() };
        let mut fleet = Fleet::with(1);
        fleet.scale(2, 100, &assumptions);
        let newest = |second| fleet.pods(second, &assumptions).pop().unwrap();
        let is_ready = |second| newest(second).readiness.is_some_and(|readiness| readiness.ready);
        for (second, phase, ready, serving) in [
            (114, Phase::Pending, false, 1),
            (115, Phase::Running, false, 1),
            (124, Phase::Running, false, 1),
            (125, Phase::Running, true, 2),
        ] {
            assert_eq!(
                (newest(second).phase, is_ready(second), fleet.ready(second)),
                (phase, ready, serving)
            );
        }
    }

    #[test]
    fn a_pod_beyond_the_room_waits_for_a_node_which_stays() {
        let assumptions = Assumptions { room: 2, node: Duration::from_secs(90), ..Assumptions::default() };
        let mut fleet = Fleet::with(1);
        fleet.scale(3, 100, &assumptions);
        assert_eq!(ready_times(&fleet), [0, 115, 205]);
        fleet.scale(1, 300, &assumptions);
        fleet.scale(3, 400, &assumptions);
        assert_eq!(ready_times(&fleet), [0, 415, 415]);
    }

    #[test]
    fn the_pod_that_would_be_ready_last_is_removed_first() {
        let assumptions = Assumptions::default();
        let mut fleet = Fleet::with(1);
        fleet.scale(2, 100, &assumptions);
        fleet.scale(3, 110, &assumptions);
        fleet.scale(2, 120, &assumptions);
        assert_eq!(ready_times(&fleet), [0, 115]);
    }
}
