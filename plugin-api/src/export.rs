/// Makes a `cdylib` a millm plugin.
///
/// ```text
/// millm_plugin_api::export_plugin! {
///     name: "llama",
///     architectures: [Llama],
/// }
/// ```
///
/// `name` is what `plugin.toml` and messages call the plugin: 1 to 64 of `a-z`, `0-9`, `_` and `-`. The host refuses a
/// plugin whose `plugin.toml` states another name, or another version than that of the crate. `architectures` are
/// expressions whose types implement [`Architecture`](crate::Architecture), and `sae_formats`, behind or instead of them, those
/// of [`SaeFormat`](crate::SaeFormat). Use it once, in the crate root.
#[macro_export]
macro_rules! export_plugin {
    (
        name: $name:literal
        $(, architectures: [$($architecture:expr),* $(,)?])?
        $(, sae_formats: [$($sae_format:expr),* $(,)?])?
        $(,)?
    ) => {
        const _: () = {
            use $crate::__private as private;

            const _: () = assert!(
                cfg!(panic = "unwind"),
                "a plugin needs panic = \"unwind\": with \"abort\" its panics would end the server"
            );
            const _: () =
                assert!($crate::note::is_name($name), "a plugin's name must be 1 to 64 of a-z, 0-9, _ and -");
            const PARTS: &[&str] = &$crate::note::parts!($name);

            // Its own section, so that the host can read it without running any code of this file.
            #[used]
            #[unsafe(link_section = ".millm.plugin")]
            static NOTE: [u8; private::note_len(PARTS)] = private::note_bytes(PARTS);

            extern "C" fn info() -> private::InfoAbi {
                private::info(&NOTE)
            }

            extern "C" fn architectures()
            -> private::AbiResult<private::RVec<private::BoxedArchitecture>, private::ErrorAbi> {
                private::objects(|| vec![$($(private::erase_architecture($architecture)),*)?])
            }

            extern "C" fn sae_formats()
            -> private::AbiResult<private::RVec<private::BoxedSaeFormat>, private::ErrorAbi> {
                private::objects(|| vec![$($(private::erase_sae_format($sae_format)),*)?])
            }

            extern "C" fn construct() -> private::ModuleResult {
                private::construct(|| private::root(info, architectures, sae_formats))
            }

            // The name is abi_stable's; `loaded::tests` holds it against the crate's own constant.
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            pub static HEADER: private::LibHeader = private::header(construct);
        };
    };
}
