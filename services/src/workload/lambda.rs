//! Requests to Lambda: the functions `function-1`....

use eastfall_proto::lambda::{
    CreateFunctionRequest, GetFunctionRequest, InvocationType, InvokeRequest, UpdateFunctionCodeRequest,
    lambda_api as api,
};
use rand::RngExt as _;

use super::{Draw, Operation, operation, sending};

const LAMBDA: &[&str] = &["lambda"];

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(LAMBDA, &api::INVOKE, |draw| invoke(draw, InvocationType::Sync)),
        // The same method with another type: an operation of its own, so that a mix can weigh them apart.
        Operation {
            kinds: LAMBDA,
            name: "InvokeAsync",
            send: sending(&api::INVOKE, |draw| invoke(draw, InvocationType::Async)),
        },
        operation(LAMBDA, &api::CREATE_FUNCTION, |draw| CreateFunctionRequest {
            function_name: format!("new-{:016x}", draw.rng.random::<u64>()),
        }),
        operation(LAMBDA, &api::UPDATE_FUNCTION_CODE, |draw| UpdateFunctionCodeRequest {
            function_name: function(draw),
        }),
        operation(LAMBDA, &api::GET_FUNCTION, |draw| GetFunctionRequest { function_name: function(draw) }),
    ]
}

fn invoke(draw: &mut Draw<'_>, invocation_type: InvocationType) -> InvokeRequest {
    InvokeRequest {
        function_name: function(draw),
        invocation_type: invocation_type as i32,
        payload: vec![0; draw.shape.item_bytes as usize],
    }
}

fn function(draw: &mut Draw<'_>) -> String {
    format!("function-{}", draw.key())
}
