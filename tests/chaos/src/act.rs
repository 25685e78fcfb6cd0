//! Makes each fault, and ends it.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::cell::{Cell, Fault, Part, RESTART};
use crate::link::Link;
use crate::objects::Way;
use crate::stage::{Gateways, Stage, fresh_address};

/// Delay of each piece over a slow link.
const LATE: Duration = Duration::from_millis(200);

/// Makes the fault, waits for as long as it lasts, and ends it.
pub(crate) async fn act(cell: Cell, stage: &mut Stage) {
    match cell.part {
        Part::Redis => of_redis(cell.fault, stage).await,
        Part::Http1 | Part::Http2 => of_upstream(cell.fault, stage).await,
        Part::Resolver => of_resolver(cell.fault, stage).await,
        Part::Replica => of_replica(cell.fault, stage).await,
        Part::Object => of_object(cell.fault, stage).await,
    }
}

/// Switches a fault on, and off again behind `span`.
async fn during(span: Duration, switch: impl Fn(bool)) {
    switch(true);
    tokio::time::sleep(span).await;
    switch(false);
}

/// Delay of a link while it is slow.
const fn late(is_slow: bool) -> Duration {
    if is_slow { LATE } else { Duration::ZERO }
}

async fn pass(fault: Fault) {
    tokio::time::sleep(fault.span()).await;
}

async fn of_redis(fault: Fault, stage: &mut Stage) {
    let (Some(redis), Some(link)) = (&mut stage.redis, &stage.store) else { return };
    match fault {
        Fault::Pause(_) => {
            signal(redis.id(), Signal::STOP);
            pass(fault).await;
            signal(redis.id(), Signal::CONT);
        }
        Fault::Kill => {
            redis.kill();
            pass(fault).await;
            redis.restart();
        }
        Fault::Clock(seconds) => stage.clock.iter().for_each(|clock| clock.turn(seconds)),
        Fault::FullDisk => {
            let mut connection = redis.connect();
            // Not even root can write there.
            let own = redis.folder().display().to_string();
            connection.call(&["CONFIG", "SET", "dir", "/proc"]).unwrap();
            connection.call(&["BGSAVE"]).unwrap();
            pass(fault).await;
            connection.call(&["CONFIG", "SET", "dir", &own]).unwrap();
            connection.call(&["BGSAVE"]).unwrap();
        }
        Fault::Cut | Fault::BlackHole | Fault::Slow => of_link(fault, link).await,
        Fault::DeadReader | Fault::NoDescriptors | Fault::NewAddress => unreachable!("{fault}"),
    }
}

async fn of_link(fault: Fault, link: &Link) {
    match fault {
        Fault::Pause(_) => during(fault.span(), |on| link.hold(on)).await,
        Fault::Cut => link.cut(),
        Fault::Kill => during(RESTART, |on| link.vanish(on)).await,
        Fault::BlackHole => during(fault.span(), |on| link.swallow(on)).await,
        Fault::Slow => during(fault.span(), |on| link.slow(late(on))).await,
        Fault::Clock(_) | Fault::FullDisk | Fault::DeadReader | Fault::NoDescriptors | Fault::NewAddress => {
            unreachable!("{fault}")
        }
    }
}

async fn of_upstream(fault: Fault, stage: &mut Stage) {
    let (Fault::NewAddress, Some(resolver)) = (fault, &stage.resolver) else {
        return of_link(fault, &stage.upstream).await;
    };
    let address = fresh_address();
    let next = Link::at((address, stage.upstream.address.port()).into(), stage.provider.address).await;
    resolver.move_to(address);
    // The old link is dropped: its connections are cut, and new ones are refused.
    stage.upstream = next;
    pass(fault).await;
}

async fn of_resolver(fault: Fault, stage: &mut Stage) {
    let Some(resolver) = &stage.resolver else { return };
    match fault {
        Fault::Pause(_) => during(fault.span(), |on| resolver.hold(on)).await,
        Fault::Kill => during(fault.span(), |on| resolver.vanish(on)).await,
        Fault::BlackHole => during(fault.span(), |on| resolver.silence(on)).await,
        Fault::Slow => during(fault.span(), |on| resolver.slow(late(on))).await,
        Fault::Cut
        | Fault::Clock(_)
        | Fault::FullDisk
        | Fault::DeadReader
        | Fault::NoDescriptors
        | Fault::NewAddress => unreachable!("{fault}"),
    }
}

async fn of_replica(fault: Fault, stage: &mut Stage) {
    let first = stage.natives()[0].program.id();
    match fault {
        Fault::Pause(_) => {
            signal(first, Signal::STOP);
            pass(fault).await;
            signal(first, Signal::CONT);
        }
        Fault::Kill => {
            signal(first, Signal::KILL);
            let others = stage.natives()[1..].iter().map(|gateway| gateway.address).collect();
            // A balancer takes a moment to see it.
            tokio::time::sleep(Duration::from_millis(200)).await;
            stage.doors.set(others);
            pass(fault).await;
            let again = stage.replica(0).await;
            if let Gateways::Native(gateways) = &mut stage.gateways {
                gateways[0] = again;
            }
            stage.doors.set(stage.natives().iter().map(|gateway| gateway.address).collect());
        }
        Fault::Clock(seconds) => stage.clock.iter().for_each(|clock| clock.turn(seconds)),
        // The replica was started that way, and stays so.
        Fault::FullDisk | Fault::DeadReader => pass(fault).await,
        Fault::NoDescriptors => {
            let program = &stage.natives()[0].program;
            program.exhaust_files();
            pass(fault).await;
            program.allow_files();
        }
        Fault::Cut | Fault::BlackHole | Fault::Slow | Fault::NewAddress => unreachable!("{fault}"),
    }
}

async fn of_object(fault: Fault, stage: &mut Stage) {
    let way = match fault {
        Fault::Pause(_) => Way::Hold,
        Fault::Cut => Way::Fail,
        Fault::BlackHole => Way::Lose,
        Fault::Slow => Way::Slow,
        Fault::Kill => {
            if let Gateways::Workerd { gateway, .. } = &mut stage.gateways {
                gateway.take().into_iter().for_each(weir_worker_tests::Gateway::kill);
            }
            pass(fault).await;
            return stage.restart_worker().await;
        }
        Fault::Clock(_) | Fault::FullDisk | Fault::DeadReader | Fault::NoDescriptors | Fault::NewAddress => {
            unreachable!("{fault}")
        }
    };
    let Gateways::Workerd { objects, .. } = &stage.gateways else { return };
    objects.set(way);
    // A cut is a moment in which whatever is under way fails.
    let moment = Duration::from_millis(if way == Way::Fail { 500 } else { 0 });
    tokio::time::sleep(moment.max(fault.span())).await;
    objects.set(Way::Pass);
}

fn signal(process: u32, signal: Signal) {
    let process = Pid::from_raw(process.try_into().unwrap()).unwrap();
    kill_process(process, signal).unwrap();
}
