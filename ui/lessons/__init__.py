"""What the chapter's pages show: their editors, pictures and words."""
