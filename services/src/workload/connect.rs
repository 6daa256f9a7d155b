//! Requests to Connect: calls, chats, agents who sign in, searches.

use eastfall_proto::connect::{connect_api, *};

use super::{Draw, Operation, operation};

const CONNECT: &[&str] = &["connect"];
/// Contact centres (assumption).
const CENTRES: u64 = 20;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        operation(CONNECT, &connect_api::START_OUTBOUND_VOICE_CONTACT, call),
        operation(CONNECT, &connect_api::RECEIVE_CALL, call),
        operation(CONNECT, &connect_api::START_CHAT_CONTACT, |draw| StartChatContactRequest {
            instance_id: centre(draw),
            client_token: draw.token(),
        }),
        operation(CONNECT, &connect_api::SIGN_IN, |draw| SignInRequest {
            instance_id: centre(draw),
            agent: format!("agent-{}", draw.key()),
        }),
        operation(CONNECT, &connect_api::SEARCH_CONTACTS, |draw| SearchContactsRequest {
            instance_id: centre(draw),
            max_results: 10,
        }),
    ]
}

fn centre(draw: &mut Draw<'_>) -> String {
    format!("centre-{}", draw.key() % CENTRES)
}

fn call(draw: &mut Draw<'_>) -> StartVoiceRequest {
    StartVoiceRequest { instance_id: centre(draw), phone_number: format!("+1555{:07}", draw.key()) }
}
