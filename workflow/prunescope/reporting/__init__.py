"""All that a person looks at: figures, pages, comparisons, the console."""
