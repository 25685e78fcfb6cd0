//! Reading costs a bounded number of instructions a byte, however the bytes are chosen: what is read twice as long
//! takes twice as long. Counted, not timed: the readers run in WebAssembly, whose fuel is its instructions.
#![cfg(test)]
#![cfg(not(target_family = "wasm"))]

use std::path::{Path, PathBuf};
use std::process::Command;

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::bindings::sync::CommandPre;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Bytes of the shortest input; it is read at twice and at four times that length as well.
const SHORT: usize = 2 << 10;

/// What a byte between twice and four times the length may cost of what one before that costs, in hundredths. What is
/// quadratic has 200.
const GROWTH: u64 = 150;

/// Below so many instructions a byte nothing is said of growth: tables and buffers grow by steps.
const LEAST: u64 = 50;

/// Each reader, the corpus of `weir-fuzz` that it knows, and what a byte of the worst input may cost it: twice of what
/// was measured.
const READERS: [(&str, &str, u64); 15] = [
    ("sse", "sse", 1_200),
    ("sse-by-bytes", "sse", 3_600),
    ("call", "request", 2_100),
    ("request", "request", 600),
    ("json", "request", 600),
    ("form", "upload", 800),
    ("pairs", "upload", 2_600),
    ("path", "endpoint", 5_100),
    ("header", "endpoint", 1_200),
    ("answer", "answer", 6_200),
    ("whole-answer", "answer", 6_200),
    ("error", "answer", 3_800),
    ("coding", "coding", 1_400),
    ("replay", "replay", 6_800),
    ("object", "object", 100),
];

/// What formats stumble over, and what a reader may look for again and again.
const PUMPS: [&[u8]; 22] = [
    b"\"",
    b"\\",
    b"{\"a\":",
    b"[",
    b"{},",
    b"[],",
    b"\"a\",",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"data: ",
    b"data: {}\n",
    b"data: {}\n\n",
    b": \n",
    b"event: a\n",
    b"--b0undary",
    b"\r\n--b0undary\r\n",
    b"%25",
    b"&a=b",
    b"\\u0073",
    b"sk-canary-",
    b",a=b;",
];

struct Guest {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Runs the readers.
struct Bench {
    engine: Engine,
    command: CommandPre<Guest>,
}

impl Bench {
    fn new() -> Self {
        let engine = Engine::new(Config::new().consume_fuel(true)).unwrap();
        let component = Component::from_file(&engine, build()).unwrap();
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker).unwrap();
        let command = CommandPre::new(linker.instantiate_pre(&component).unwrap()).unwrap();
        Self { engine, command }
    }

    /// Instructions that `reader` needs for `input`.
    fn cost(&self, reader: &str, input: &[u8]) -> u64 {
        let stdin = MemoryInputPipe::new(input.to_vec());
        let wasi = WasiCtx::builder().args(&["weir-work", reader]).stdin(stdin).inherit_stderr().build();
        let mut store = Store::new(&self.engine, Guest { wasi, table: ResourceTable::new() });
        store.set_fuel(u64::MAX).unwrap();
        let command = self.command.instantiate(&mut store).unwrap();
        let outcome = command.wasi_cli_run().call_run(&mut store).unwrap();
        assert_eq!(outcome, Ok(()), "{reader}");
        u64::MAX - store.get_fuel().unwrap()
    }
}

/// The readers as a component, built as the gateway's is for an edge.
fn build() -> PathBuf {
    const TARGET: &str = "wasm32-wasip2";
    let this = std::env::current_exe().unwrap();
    let target = this.ancestors().nth(3).unwrap();
    let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--package", "weir-work", "--bin", "weir-work", "--target", TARGET])
        .args(["--profile", "component"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
        .status();
    let hint = "`rustup target add wasm32-wasip2` installs what may be missing";
    assert!(built.is_ok_and(|built| built.success()), "the readers are not built; {hint}");
    target.join(TARGET).join("component/weir-work.wasm")
}

/// `head`, then `pump` as often as it takes, then `tail`.
fn pumped(head: &[u8], pump: &[u8], tail: &[u8], length: usize) -> Vec<u8> {
    let times = length.saturating_sub(head.len() + tail.len()).div_ceil(pump.len());
    [head, &pump.repeat(times), tail].concat()
}

/// Files of a corpus that are pumped.
const FILES: usize = 4;

/// Each pump on its own, and within some files of the corpus at some place; and pieces of the files as pumps.
fn shapes(corpus: &str) -> Vec<(Vec<u8>, Vec<u8>, Vec<u8>)> {
    let mut shapes: Vec<_> = PUMPS.iter().map(|pump| (Vec::new(), pump.to_vec(), Vec::new())).collect();
    let files: Vec<_> =
        weir_fuzz::corpus(corpus).into_iter().filter(|file| (1..SHORT / 2).contains(&file.len())).collect();
    for (number, file) in files.iter().step_by(files.len().div_ceil(FILES)).enumerate() {
        let at = file.len() * (1 + number % 7) / 8;
        let (head, tail) = file.split_at(at);
        let pump = PUMPS[number % PUMPS.len()];
        shapes.push((head.to_vec(), pump.to_vec(), tail.to_vec()));
        let end = (at + 1 + number % 24).min(file.len());
        if at < end {
            shapes.push((head.to_vec(), file[at..end].to_vec(), file[end..].to_vec()));
        }
    }
    shapes
}

/// What is wrong with how a reader bears its inputs, and the worst of them.
fn judge(bench: &Bench, (reader, corpus, most): (&str, &str, u64)) -> (Vec<String>, String) {
    let (mut faults, mut dearest, mut steepest) = (Vec::new(), 0, 0);
    for (head, pump, tail) in shapes(corpus) {
        let cost = |times| bench.cost(reader, &pumped(&head, &pump, &tail, SHORT * times));
        let costs = [cost(1), cost(2), cost(4)];
        let a_byte = |to: u64, from: u64, bytes: usize| to.saturating_sub(from) / bytes as u64;
        let (early, late) = (a_byte(costs[1], costs[0], SHORT), a_byte(costs[2], costs[1], 2 * SHORT));
        let growth = if late > LEAST { late * 100 / early.max(1) } else { 0 };
        (dearest, steepest) = (dearest.max(late), steepest.max(growth));
        let name = format!("{reader}: {} behind {} bytes", pump.escape_ascii(), head.len());
        if late > most {
            faults.push(format!("{name}: {late} instructions a byte"));
        }
        if growth > GROWTH {
            faults.push(format!("{name}: {early} instructions a byte, and {late} further on"));
        }
    }
    (faults, format!("{reader}: {dearest} a byte, {steepest} % further on"))
}

#[test]
fn no_input_costs_more_a_byte_the_longer_it_is() {
    let bench = Bench::new();
    let judged = std::thread::scope(|scope| {
        let workers: Vec<_> = READERS
            .map(|reader| {
                scope.spawn({
                    let bench = &bench;
                    move || judge(bench, reader)
                })
            })
            .into_iter()
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect::<Vec<_>>()
    });
    let (faults, report): (Vec<_>, Vec<_>) = judged.into_iter().unzip();
    let faults = faults.concat();
    assert!(faults.is_empty(), "{}\n{}", faults.join("\n"), report.join("\n"));
}
