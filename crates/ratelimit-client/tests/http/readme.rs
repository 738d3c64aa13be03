//! The README shows the examples as they are.

#[test]
fn the_readme_shows_the_examples() {
    let readme = include_str!("../../README.md");
    for example in [include_str!("../../examples/axum.rs"), include_str!("../../examples/tonic.rs")]
    {
        assert!(readme.contains(&format!("```rust,no_run\n{example}```\n")), "{example}");
        assert!(example.lines().count() < 40);
    }
}
