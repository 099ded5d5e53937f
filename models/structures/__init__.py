"""Twenty anatomical structures labelled on one frontal radiograph."""
