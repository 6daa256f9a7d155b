//! A call by name: finds the method among the APIs' descriptors and turns a TOML table into its encoded request.

use std::sync::LazyLock;

use eastfall_fabric::call::Method;
use eastfall_topology::Problem;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, Kind, MessageDescriptor};

use crate::reader::{Located, Origin};

static POOL: LazyLock<Option<DescriptorPool>> =
    LazyLock::new(|| DescriptorPool::decode(eastfall_proto::DESCRIPTORS).ok());

/// The method with this path, leading slash or not.
pub(crate) fn method(path: &Located<String>) -> Result<&'static Method, Problem> {
    eastfall_proto::method(&path.value).ok_or_else(|| {
        let methods = eastfall_proto::APIS.iter().flat_map(|api| (api.methods)());
        let paths: Vec<&str> = methods.map(|method| &method.path[1..]).collect();
        path.origin.unknown("method of any API", path.value.trim_start_matches('/'), paths)
    })
}

/// A request of a method from a table with the fields' names as in the `.proto` file.
pub(crate) fn request(method: &Method, body: toml::Table, origin: &Origin) -> Result<Vec<u8>, Vec<Problem>> {
    let descriptor = POOL
        .as_ref()
        .and_then(|pool| pool.get_service_by_name(method.service))
        .and_then(|service| service.methods().find(|other| other.name() == method.name))
        .map(|method| method.input());
    let Some(descriptor) = descriptor else {
        return Err(vec![
            origin.problem(format!("`{}` has no descriptor", method.path), "build the lab again"),
        ]);
    };
    let mut problems = Vec::new();
    check_names(&descriptor, &body, origin, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    match DynamicMessage::deserialize(descriptor.clone(), toml::Value::Table(body)) {
        Ok(message) => Ok(message.encode_to_vec()),
        Err(error) => {
            let message = error.to_string().trim().replace('\n', ", ");
            let cure = format!("write the fields of {} as its .proto file has them", descriptor.full_name());
            Err(vec![origin.problem(message, cure)])
        }
    }
}

/// Unknown fields, at every depth, with the nearest valid one.
fn check_names(
    descriptor: &MessageDescriptor,
    table: &toml::Table,
    origin: &Origin,
    problems: &mut Vec<Problem>,
) {
    for (name, value) in table {
        let origin = Origin { place: origin.place.clone(), key: format!("{}.{name}", origin.key) };
        let by_name = descriptor.get_field_by_name(name).or_else(|| descriptor.get_field_by_json_name(name));
        let Some(field) = by_name else {
            let fields: Vec<_> = descriptor.fields().collect();
            let names = fields.iter().map(|field| field.name());
            problems.push(origin.unknown(&format!("field of {}", descriptor.full_name()), name, names));
            continue;
        };
        // The keys of a map are the user's, and well-known types have forms of their own.
        let Kind::Message(inner) = field.kind() else { continue };
        if field.is_map() || inner.package_name() == "google.protobuf" {
            continue;
        }
        match value {
            toml::Value::Table(table) => check_names(&inner, table, &origin, problems),
            toml::Value::Array(list) => {
                for table in list.iter().filter_map(toml::Value::as_table) {
                    check_names(&inner, table, &origin, problems);
                }
            }
            _ => {}
        }
    }
}
