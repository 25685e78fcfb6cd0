//! The form an answer takes: text, JSON, or the call of a tool.

use serde_json::Value;

use crate::{fields::Fields, refusal::Refusal, script::Script};

#[derive(Clone, Debug)]
pub(crate) enum Form<'b> {
    Text,
    /// Any JSON object.
    Json,
    /// JSON that satisfies the schema.
    Schema(&'b Value),
    Tool(Tool<'b>),
}

#[derive(Clone, Debug)]
pub(crate) struct Tool<'b> {
    pub(crate) name: &'b str,
    pub(crate) parameters: Option<&'b Value>,
}

impl<'b> Form<'b> {
    /// The call of a tool, if the request demands one or the script does.
    pub(crate) fn tool(demanded: Option<Tool<'b>>, offered: &[Tool<'b>], script: &Script) -> Option<Self> {
        let scripted = || script.tools.then(|| offered.first().cloned().unwrap_or(Tool::LAST_RESORT));
        demanded.or_else(scripted).map(Form::Tool)
    }

    /// Text or JSON, as a response format says. `schema` finds the schema in it.
    pub(crate) fn structured(
        format: &Fields<'b>,
        schema: impl FnOnce(&Fields<'b>) -> Result<Option<&'b Value>, Refusal>,
    ) -> Result<Self, Refusal> {
        match format.text("type")? {
            None => Err(format.missing("type")),
            Some("text") => Ok(Self::Text),
            Some("json_object") => Ok(Self::Json),
            Some("json_schema") => Ok(schema(format)?.map_or(Self::Json, Self::Schema)),
            Some(_) => Err(format.bad("type", "it has to be text, json_object or json_schema")),
        }
    }
}

impl<'b> Tool<'b> {
    /// Called when the script wants a tool call and the request offers no tool.
    const LAST_RESORT: Self = Self { name: "simulated_tool", parameters: None };

    /// The one of `tools` that `tool_choice` demands. `name` reads the name out of a choice that
    /// is an object.
    pub(crate) fn demanded(
        fields: &Fields<'b>,
        tools: &[Self],
        name: impl FnOnce(&Fields<'b>) -> Result<&'b str, Refusal>,
    ) -> Result<Option<Self>, Refusal> {
        let absent = || fields.bad("tool_choice", "there is no such tool in 'tools'");
        match fields.value("tool_choice") {
            None => Ok(None),
            Some(Value::String(choice)) => match choice.as_str() {
                "none" | "auto" => Ok(None),
                "required" => tools.first().cloned().map(Some).ok_or_else(absent),
                _ => Err(fields.bad("tool_choice", "it has to be none, auto, required or a tool")),
            },
            Some(Value::Object(_)) => {
                let Some(choice) = fields.object("tool_choice")? else {
                    return Ok(None);
                };
                let wanted = name(&choice)?;
                let tool = tools.iter().find(|tool| tool.name == wanted);
                tool.cloned().map(Some).ok_or_else(absent)
            }
            Some(_) => Err(fields.wrong("tool_choice", "a string or an object")),
        }
    }
}
