"""Values of annotations as people write them: words for missing ones, categories, numbers."""
