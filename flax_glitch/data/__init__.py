"""From files, arrays and folders of pictures to batches of pixels."""
