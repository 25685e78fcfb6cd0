//! Spin's interfaces in Rust, from `wit/spin.wit`.

wasmtime::component::bindgen!({
    path: "wit",
    world: "fermyon:spin/imports",
    imports: { default: async },
    with: {
        "fermyon:spin/key-value.store": super::key_value::Store,
        "fermyon:spin/redis.connection": super::redis::Connection,
    },
});
