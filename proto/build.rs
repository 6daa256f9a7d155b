//! Compiles `api/*.proto` without protoc (protox is pure Rust) and writes, beside what tonic generates, one `*_api`
//! module a service: the typed names of its methods and the bridges between typed calls and the generated
//! client and server (see `src/call.rs`). Adding an RPC is therefore a change of the `.proto` file alone.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, error::Error, fs};

use prost::Message as _;
use prost_types::{FileDescriptorSet, MethodDescriptorProto, ServiceDescriptorProto};

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var("OUT_DIR")?);
    println!("cargo::rerun-if-changed=api");
    let mut files: Vec<PathBuf> =
        fs::read_dir("api")?.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "proto"));
    files.sort();
    let set = protox::compile(&files, ["api"])?;
    fs::write(out.join("descriptors.bin"), set.encode_to_vec())?;
    // Ordered maps, as everywhere: the order of an item's attributes must be the same in every run.
    tonic_prost_build::configure().btree_map(".").emit_rerun_if_changed(false).compile_fds(set.clone())?;
    share_messages(&out)?;
    write_bridges(&set, &out)
}

/// Messages that lists hold as `Shared` (see `src/shared.rs`): package and name.
const SHARED: [(&str, &str); 2] =
    [("eastfall.dynamodb.v1", "Record"), ("eastfall.dynamodb.v1", "WriteRequest")];

/// prost can box a field's message but not share it, so the type of such lists is put in afterwards.
fn share_messages(out: &Path) -> Result<(), Box<dyn Error>> {
    for (package, message) in SHARED {
        let file = out.join(format!("{package}.rs"));
        let (own, shared) = (format!("Vec<{message}>"), format!("Vec<crate::shared::Shared<{message}>>"));
        let code = fs::read_to_string(&file)?;
        if !code.contains(&own) {
            return Err(format!("{package} has no list of {message} to share").into());
        }
        fs::write(file, code.replace(&own, &shared))?;
    }
    Ok(())
}

/// One file `<package>.api.rs` a package.
fn write_bridges(set: &FileDescriptorSet, out: &Path) -> Result<(), Box<dyn Error>> {
    for file in set.file.iter().filter(|file| !file.service.is_empty()) {
        let mut code = String::new();
        for service in &file.service {
            write_bridge(&mut code, file.package(), service)?;
        }
        fs::write(out.join(format!("{}.api.rs", file.package())), code)?;
    }
    Ok(())
}

fn write_bridge(
    code: &mut String,
    package: &str,
    service: &ServiceDescriptorProto,
) -> Result<(), Box<dyn Error>> {
    let name = service.name();
    let module = snake_case(name);
    let full = format!("{package}.{name}");
    writeln!(
        code,
        "/// Typed calls of `{full}` and the bridges to its generated client and server.\npub mod {module}_api {{"
    )?;
    writeln!(code, "use super::*; use crate::call::{{generated::*, *}};")?;
    writeln!(
        code,
        "use super::{module}_server::{{{name}, {name}Server}}; use super::{module}_client::{name}Client;"
    )?;
    for (index, method) in service.method.iter().enumerate() {
        let (constant, input, output) =
            (snake_case(method.name()).to_uppercase(), input(method), output(method));
        let method = method.name();
        writeln!(
            code,
            "/// `{full}/{method}`\npub static {constant}: Rpc<{input}, {output}> = Rpc::new(&Method {{ service: \"{full}\", \
             name: \"{method}\", path: \"/{full}/{method}\", index: {index}, codec: &Codec::of::<{input}, {output}>() }});"
        )?;
    }
    let all: Vec<_> =
        service.method.iter().map(|m| format!("{}.method()", snake_case(m.name()).to_uppercase())).collect();
    writeln!(
        code,
        "/// The API as data.\npub static API: Api = Api {{ name: \"{full}\", methods: || vec![{}], serve, add, connect }};",
        all.join(", ")
    )?;
    writeln!(code, "struct ToServer<T>(Arc<T>);\nimpl<T: {name}> Handler for ToServer<T> {{")?;
    write_handle(code, &full, service, "let server = Arc::clone(&self.0)", |function| {
        format!("server.{function}(call.into_request()?)")
    })?;
    writeln!(
        code,
        "/// Typed calls into an implementation of the generated server trait.\n\
         pub fn handler<T: {name}>(server: Arc<T>) -> SharedHandler {{ Arc::new(ToServer(server)) }}"
    )?;
    writeln!(
        code,
        "struct FromWire(SharedHandler);\n#[async_trait::async_trait]\nimpl {name} for FromWire {{"
    )?;
    for method in &service.method {
        let (function, constant) = (snake_case(method.name()), snake_case(method.name()).to_uppercase());
        let (input, output) = (input(method), output(method));
        writeln!(
            code,
            "async fn {function}(&self, request: tonic::Request<{input}>) -> Result<tonic::Response<{output}>, tonic::Status> \
             {{ from_wire(&self.0, {constant}.method(), request).await }}"
        )?;
    }
    writeln!(
        code,
        "}}\nfn serve(handler: SharedHandler) -> Wire {{ wire({name}Server::new(FromWire(handler))) }}"
    )?;
    writeln!(
        code,
        "fn add(routes: &mut tonic::service::RoutesBuilder, handler: SharedHandler) {{ \
         routes.add_service({name}Server::new(FromWire(handler))); }}"
    )?;
    writeln!(code, "struct ToWire({name}Client<Wire>);\nimpl Handler for ToWire {{")?;
    write_handle(code, &full, service, "let mut client = self.0.clone()", |function| {
        format!("client.{function}(call.into_wire_request()?)")
    })?;
    writeln!(
        code,
        "fn connect(wire: Wire) -> SharedHandler {{ Arc::new(ToWire({name}Client::new(wire))) }}\n}}"
    )?;
    Ok(())
}

/// A `Handler::handle` that finds the method by its number and hands the call on, and the end of its `impl`.
fn write_handle(
    code: &mut String,
    full: &str,
    service: &ServiceDescriptorProto,
    take: &str,
    hand_on: impl Fn(&str) -> String,
) -> Result<(), Box<dyn Error>> {
    writeln!(code, "fn handle(&self, call: Call) -> CallFuture {{ {take}; Box::pin(async move {{")?;
    writeln!(
        code,
        "if call.method.service != \"{full}\" {{ return Err(unimplemented(&call)); }} match call.method.index {{"
    )?;
    for (index, method) in service.method.iter().enumerate() {
        writeln!(code, "{index} => answer({}.await),", hand_on(&snake_case(method.name())))?;
    }
    writeln!(code, "_ => Err(unimplemented(&call)) }} }}) }} }}")?;
    Ok(())
}

/// The Rust name of a message of the same package; other packages' messages are not used in our APIs.
fn input(method: &MethodDescriptorProto) -> &str {
    method.input_type().rsplit('.').next().unwrap_or_default()
}

fn output(method: &MethodDescriptorProto) -> &str {
    method.output_type().rsplit('.').next().unwrap_or_default()
}

fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for (index, letter) in name.char_indices() {
        if letter.is_uppercase() && index > 0 {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
