//! Which endpoint a request is for.

use http::{Method, Uri};

use crate::refusal::Refusal;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route<'u> {
    Call {
        api: Api,
        /// The model, where the path has it: an Azure deployment.
        deployment: Option<&'u str>,
    },
    Models,
    Model(&'u str),
    Echo,
}

/// An endpoint that runs a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Api {
    Chat,
    Completions,
    Embeddings,
    Responses,
}

impl<'u> Route<'u> {
    pub(crate) fn parse(method: &Method, uri: &'u Uri) -> Result<Self, Refusal> {
        let path = uri.path();
        let unknown = || Refusal::UnknownUrl { method: method.clone(), path: path.to_owned() };
        if let Some(azure) = path.strip_prefix("/openai/deployments/") {
            let call = azure.split_once('/').filter(|_| has_api_version(uri));
            let (deployment, operation) = call.ok_or_else(unknown)?;
            let api = api(method, operation).ok_or_else(unknown)?;
            return Ok(Self::Call { api, deployment: Some(deployment) });
        }
        let operation = path.strip_prefix("/v1/").ok_or_else(unknown)?;
        if let Some(api) = api(method, operation) {
            return Ok(Self::Call { api, deployment: None });
        }
        if *method == Method::GET && operation == "models" {
            return Ok(Self::Models);
        }
        match operation.strip_prefix("models/") {
            Some(id) if *method == Method::GET && !id.is_empty() => Ok(Self::Model(id)),
            Some(_) | None => Ok(Self::Echo),
        }
    }
}

fn api(method: &Method, operation: &str) -> Option<Api> {
    match operation {
        _ if *method != Method::POST => None,
        "chat/completions" => Some(Api::Chat),
        "completions" => Some(Api::Completions),
        "embeddings" => Some(Api::Embeddings),
        "responses" => Some(Api::Responses),
        _ => None,
    }
}

fn has_api_version(uri: &Uri) -> bool {
    let pairs = uri.query().unwrap_or_default().split('&');
    let mut values = pairs.filter_map(|pair| pair.strip_prefix("api-version="));
    values.any(|version| !version.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_endpoint() {
        let call = |api, deployment| Some(Route::Call { api, deployment });
        let azure = "/openai/deployments/sim/chat/completions";
        let table = [
            ("POST", "/v1/chat/completions".to_owned(), call(Api::Chat, None)),
            ("POST", "/v1/completions".to_owned(), call(Api::Completions, None)),
            ("POST", "/v1/embeddings?x=y".to_owned(), call(Api::Embeddings, None)),
            ("POST", "/v1/responses".to_owned(), call(Api::Responses, None)),
            ("GET", "/v1/models".to_owned(), Some(Route::Models)),
            ("GET", "/v1/models/a/b".to_owned(), Some(Route::Model("a/b"))),
            ("GET", "/v1/chat/completions".to_owned(), Some(Route::Echo)),
            ("DELETE", "/v1/models/a".to_owned(), Some(Route::Echo)),
            ("PUT", "/v1/any/thing".to_owned(), Some(Route::Echo)),
            ("POST", format!("{azure}?api-version=1"), call(Api::Chat, Some("sim"))),
            ("POST", format!("{azure}?a=b&api-version=1"), call(Api::Chat, Some("sim"))),
            ("POST", format!("{azure}?api-version="), None),
            ("POST", azure.to_owned(), None),
            ("POST", "/openai/deployments/sim/x?api-version=1".to_owned(), None),
            ("GET", "/".to_owned(), None),
            ("GET", "/v2/models".to_owned(), None),
        ];
        for (method, uri, route) in table {
            let (method, uri) = (method.parse().unwrap(), uri.parse().unwrap());
            assert_eq!(Route::parse(&method, &uri).ok(), route, "{method} {uri}");
        }
    }
}
