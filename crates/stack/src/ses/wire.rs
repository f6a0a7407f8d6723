//! The JSON of a `SendEmail` request, as the service model has it. A member that is not in the model is refused.

#![expect(clippy::struct_field_names, reason = "the members have the names of the model")]

use serde::Deserialize;

macro_rules! shape {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(rename_all = "PascalCase", deny_unknown_fields, default)]
        pub(super) struct $name {
            $(pub(super) $field: $kind,)*
        }
    };
}

shape! {
    /// The whole request.
    SendEmail {
        from_email_address: Option<String>,
        from_email_address_identity_arn: Option<String>,
        destination: Option<Destination>,
        reply_to_addresses: Vec<String>,
        feedback_forwarding_email_address: Option<String>,
        feedback_forwarding_email_address_identity_arn: Option<String>,
        content: Option<Content>,
        email_tags: Vec<Tag>,
        configuration_set_name: Option<String>,
        configuration_overrides: Option<serde_json::Value>,
        endpoint_id: Option<String>,
        tenant_name: Option<String>,
        list_management_options: Option<ListManagement>,
    }
}
shape! { Destination { to_addresses: Vec<String>, cc_addresses: Vec<String>, bcc_addresses: Vec<String>, } }
shape! { Tag { name: Option<String>, value: Option<String>, } }
shape! { ListManagement { contact_list_name: Option<String>, topic_name: Option<String>, } }
shape! { Content { simple: Option<Simple>, raw: Option<Raw>, template: Option<Template>, } }
shape! { Raw { data: Option<String>, } }
shape! {
    Simple {
        subject: Option<Text>,
        body: Option<Body>,
        headers: Vec<Header>,
        attachments: Vec<Attachment>,
    }
}
shape! {
    Template {
        template_name: Option<String>,
        template_arn: Option<String>,
        template_content: Option<TemplateContent>,
        template_data: Option<String>,
        headers: Vec<Header>,
        attachments: Vec<Attachment>,
    }
}
shape! { TemplateContent { subject: Option<String>, text: Option<String>, html: Option<String>, } }
shape! { Body { text: Option<Text>, html: Option<Text>, } }
shape! { Text { data: Option<String>, charset: Option<String>, } }
shape! { Header { name: Option<String>, value: Option<String>, } }
shape! {
    Attachment {
        raw_content: Option<String>,
        content_disposition: Option<String>,
        file_name: Option<String>,
        content_description: Option<String>,
        content_id: Option<String>,
        content_transfer_encoding: Option<String>,
        content_type: Option<String>,
    }
}
