//! Cache hits: the same bytes out of the gateway's cache and out of nginx's.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use super::{Counting, instructions};
use crate::ask::Ask;
use crate::bed::{self, Bed};
use crate::cli::{Capacity, Failed, Kind, say};
use crate::figure::{Aim, Figure, Unit};
use crate::gateway::Setup;
use crate::load::Caller;
use crate::peer::Serving;
use crate::rounds::turns;

const CONNECTIONS: [usize; 2] = [16, 32];

/// Enough for either number of them.
const WORKER_CONNECTIONS: usize = 1024;

pub(super) fn measure(
    bed: &Bed,
    count: usize,
    millis: u64,
    counting: Counting,
) -> Result<Vec<Figure>, Failed> {
    let upstream = bed::upstream(Capacity::default())?;
    let nginx = bed.nginx_before(&upstream, Serving::Cache, WORKER_CONNECTIONS)?;
    let weir = bed.weir_before(&upstream, Setup::Cached)?;
    let kept = filled(nginx.address, "x-cache-status")?;
    if filled(weir.address, "x-cache")? != kept {
        return Err(Failed("the two caches give different bytes".into()));
    }
    let before = calls(upstream.address)?;
    let mut figures = Vec::new();
    for connections in CONNECTIONS {
        let kind = Kind::Throughput { ask: Ask::Json, connections, millis };
        let rounds = turns([&nginx, &weir], count, &kind)?;
        let name = format!("cache hits, c={connections}");
        let rates: Vec<_> = rounds.iter().map(|[n, w]| (None, n.per_second(), w.per_second())).collect();
        let costs: Vec<_> = rounds.iter().map(|[n, w]| (None, n.cpu_micros(), w.cpu_micros())).collect();
        figures.push(Figure::of_rounds(&name, Unit::PerSecond, Aim::Share(0.9), &rates));
        figures.push(Figure::of_rounds(format!("{name}: CPU of one"), Unit::Micros, Aim::Nothing, &costs));
    }
    let missed = calls(upstream.address)? - before;
    if missed > 0 {
        return Err(Failed(format!("{missed} calls were no hits: they went upstream")));
    }
    match instructions(bed, [Setup::Cached], counting) {
        Ok(counts) => {
            figures.push(Figure::alone("a cache hit", Unit::Instructions, Aim::Nothing, counts));
        }
        Err(Failed(why)) => say(format_args!("instructions of a hit are NOT counted: {why}")),
    }
    Ok(figures)
}

/// Asks until the answer is kept, and gives its body; `header` has to call it a hit.
pub(super) fn filled(target: SocketAddr, header: &str) -> Result<Vec<u8>, Failed> {
    /// Who is asked the second time may still be writing.
    const MOST: usize = 20;
    let mut caller = Caller::connect(target, Ask::Json)?;
    for _ in 0..MOST {
        caller.call()?;
        if caller.reply().header(header) == Some("HIT") {
            return Ok(caller.reply().body().to_vec());
        }
    }
    Err(Failed(format!("{target} keeps no answer:\n{}", caller.reply().excerpt())))
}

/// Calls that the upstream has had.
fn calls(upstream: SocketAddr) -> Result<u64, Failed> {
    let failed = |e: std::io::Error| Failed::because("the upstream tells no count", e);
    let mut stream = TcpStream::connect(upstream).map_err(failed)?;
    let ask = format!("GET /calls HTTP/1.1\r\nhost: {upstream}\r\nconnection: close\r\n\r\n");
    stream.write_all(ask.as_bytes()).map_err(failed)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(failed)?;
    let count = answer.rsplit("\r\n\r\n").next().and_then(|count| count.parse().ok());
    count.ok_or_else(|| Failed(format!("the upstream tells no count: {answer}")))
}
