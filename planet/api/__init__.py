"""PlaNet as a library: what `import planet` offers. See docs/api.md."""
