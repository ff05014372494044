//! A user at a browser, as far as the examples need one: loads a page, fills in its form, follows where that leads.

use url::Url;

/// Logs in as alice and allows whatever is asked.
pub(crate) async fn log_in(page: Url) {
    if let Err(error) = fill_in(page).await {
        eprintln!("alice: {error}");
    }
}

async fn fill_in(page: Url) -> Result<(), reqwest::Error> {
    let browser = reqwest::Client::new();
    let html = browser.get(page.clone()).send().await?.text().await?;
    let mut form = hidden_fields(&html);
    form.extend([("username", "alice"), ("password", "wonderland"), ("decision", "allow")].map(owned));
    // The form names no address of its own, and its hidden fields repeat the query.
    let mut action = page;
    action.set_query(None);
    let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
    let sent = browser.post(action).header("content-type", "application/x-www-form-urlencoded").body(body);
    let landed = sent.send().await?.text().await?;
    println!("alice sees: {}", between(&landed, "<h1>", "</h1>").unwrap_or("nothing"));
    Ok(())
}

fn owned((name, value): (&str, &str)) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

/// The fields that a form sends along unseen.
fn hidden_fields(html: &str) -> Vec<(String, String)> {
    let inputs = html.split("<input ").skip(1).filter(|input| input.starts_with("type=\"hidden\""));
    let read = |input: &str, name: &str| {
        let value = between(input, &format!("{name}=\""), "\"")?;
        Some(value.replace("&quot;", "\"").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    };
    inputs.filter_map(|input| Some((read(input, "name")?, read(input, "value")?))).collect()
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    text.split_once(before)?.1.split_once(after).map(|(found, _)| found)
}
